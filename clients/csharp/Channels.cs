using System.Security.Cryptography.X509Certificates;
using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Net.Client.Balancer;
using Grpc.Net.Client.Configuration;
using Microsoft.Extensions.DependencyInjection;
using SpanQA.V1;

/// <summary>Connects as the environment says.</summary>
static class Channels
{
    const int MaxMessageBytes = 64 << 20;

    static readonly string[] RetriedMethods =
        ["Answer", "BatchAnswer", "AnswerFromDocuments", "ComputeLogits", "GetModel"];

    public static GrpcChannel Open(bool retry)
    {
        var target = Environment.GetEnvironmentVariable("SPANQA_TARGET")
            ?? throw new ArgumentException("SPANQA_TARGET is not set: HOST:PORT");
        var authority = Environment.GetEnvironmentVariable("SPANQA_CA");
        var token = Environment.GetEnvironmentVariable("SPANQA_TOKEN");
        if (token is not null && authority is null)
        {
            throw new ArgumentException("SPANQA_TOKEN needs TLS: set SPANQA_CA, too");
        }
        var handler = new SocketsHttpHandler
        {
            KeepAlivePingDelay = TimeSpan.FromSeconds(20),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            EnableMultipleHttp2Connections = true,
        };
        var credentials = ChannelCredentials.Insecure;
        if (authority is not null)
        {
            handler.SslOptions.CertificateChainPolicy = TrustOnly(authority);
            credentials = ChannelCredentials.SecureSsl;
        }
        if (token is not null)
        {
            credentials = ChannelCredentials.Create(credentials, BearerToken(token));
        }
        var options = new GrpcChannelOptions
        {
            Credentials = credentials,
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = MaxMessageBytes,
        };
        if (!retry)
        {
            var scheme = authority is null ? "http" : "https";
            return GrpcChannel.ForAddress($"{scheme}://{target}", options);
        }
        // Larger messages are not retried; the defaults are 1 MiB for a call and 16 MiB for all.
        options.MaxRetryBufferPerCallSize = MaxMessageBytes;
        options.MaxRetryBufferSize = 4 * MaxMessageBytes;
        // Grpc.Net.Client has no health checking: a server that says NOT_SERVING still gets calls.
        options.ServiceConfig = RoundRobinWithRetries();
        options.ServiceProvider = new ServiceCollection()
            .AddSingleton<ResolverFactory>(new StaticResolverFactory(_ => Addresses(target)))
            .BuildServiceProvider();
        return GrpcChannel.ForAddress("static:///spanqa", options);
    }

    static ServiceConfig RoundRobinWithRetries()
    {
        var retries = new MethodConfig
        {
            RetryPolicy = new RetryPolicy
            {
                MaxAttempts = 5,
                InitialBackoff = TimeSpan.FromSeconds(0.1),
                MaxBackoff = TimeSpan.FromSeconds(2),
                BackoffMultiplier = 3,
                RetryableStatusCodes =
                {
                    StatusCode.Unavailable, StatusCode.Cancelled, StatusCode.ResourceExhausted,
                },
            },
        };
        foreach (var method in RetriedMethods)
        {
            var service = QuestionAnsweringService.Descriptor.FullName;
            retries.Names.Add(new MethodName { Service = service, Method = method });
        }
        return new ServiceConfig
        {
            LoadBalancingConfigs = { new RoundRobinConfig() },
            MethodConfigs = { retries },
        };
    }

    static IEnumerable<BalancerAddress> Addresses(string targets) =>
        from target in targets.Split(',')
        let uri = new Uri($"http://{target}")
        select new BalancerAddress(uri.IdnHost, uri.Port);

    static X509ChainPolicy TrustOnly(string authority)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.ImportFromPemFile(authority);
        return policy;
    }

    static CallCredentials BearerToken(string token) =>
        CallCredentials.FromInterceptor((_, metadata) =>
        {
            metadata.Add("Authorization", $"Bearer {token}");
            return Task.CompletedTask;
        });
}
