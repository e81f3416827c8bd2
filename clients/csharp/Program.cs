// Asks SpanQA questions. The commands and variables are those of ../README.md.
using System.Text.Json;
using Google.Protobuf;
using Google.Rpc;
using Grpc.Core;
using Grpc.Health.V1;
using SpanQA.V1;
using Client = SpanQA.V1.QuestionAnsweringService.QuestionAnsweringServiceClient;

// Not Console.In: its asynchronous methods block. Both are UTF-8, whatever the locale.
var input = new StreamReader(Console.OpenStandardInput());
var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true };

try
{
    await RunAsync(args.Length == 1 ? args[0] : "");
    return 0;
}
catch (RpcException error)
{
    Print(Failure(error));
    return 0;
}
catch (Exception error)
{
    Console.Error.WriteLine($"example: {error.Message}");
    return 2;
}

async Task RunAsync(string command)
{
    using var channel = Channels.Open(retry: command == "retry");
    var client = new Client(channel);
    switch (command)
    {
        case "answer" or "retry":
            while (await ReadPairAsync() is { } pair)
            {
                await AskAsync(client, pair, TimeSpan.FromSeconds(30));
            }
            break;
        case "batch":
            await BatchAsync(client);
            break;
        case "stream":
            await StreamAsync(client);
            break;
        case "deadline":
            await AskAsync(client, await FirstPairAsync(), TimeSpan.FromSeconds(0.2));
            break;
        case "cancel":
            var first = await FirstPairAsync();
            using (var giveUp = new CancellationTokenSource(TimeSpan.FromSeconds(0.2)))
            {
                await AskAsync(client, first, TimeSpan.FromSeconds(30), giveUp.Token);
            }
            break;
        case "health":
            var health = new Health.HealthClient(channel);
            var soon = DateTime.UtcNow.AddSeconds(5);
            var reply = await health.CheckAsync(new HealthCheckRequest(), deadline: soon);
            Print(new { status = UpperSnake(reply.Status) });
            break;
        default:
            throw new ArgumentException("usage: answer|batch|stream|deadline|cancel|retry|health");
    }
}

async Task AskAsync(
    Client client, AnswerRequest request, TimeSpan timeout, CancellationToken cancelled = default)
{
    try
    {
        var deadline = DateTime.UtcNow + timeout;
        var response = await client.AnswerAsync(request, null, deadline, cancelled);
        var best = response.Answers[0];
        var cut = request.Context[best.Start..best.End];
        Print(new
        {
            text = best.Text,
            start = best.Start,
            end = best.End,
            unit = response.OffsetEncoding.ToString().ToUpperInvariant(),
            cut,
        });
    }
    catch (RpcException error)
    {
        Print(Failure(error));
    }
}

async Task BatchAsync(Client client)
{
    var request = new BatchAnswerRequest();
    while (await ReadPairAsync() is { } pair)
    {
        request.Requests.Add(pair);
    }
    var response = await client.BatchAnswerAsync(request, deadline: DateTime.UtcNow.AddSeconds(60));
    foreach (var item in response.Items)
    {
        Print(Result(item.Response, item.Error));
    }
}

async Task StreamAsync(Client client)
{
    using var call = client.StreamAnswer();
    var sending = SendAsync(call.RequestStream);
    await foreach (var answer in call.ResponseStream.ReadAllAsync())
    {
        var result = Result(answer.Response, answer.Error);
        result["id"] = answer.Id;
        Print(result);
    }
    await sending;
}

async Task SendAsync(IClientStreamWriter<StreamAnswerRequest> requests)
{
    try
    {
        for (var number = 0; await ReadPairAsync() is { } pair; number++)
        {
            // Waits while the server takes no more.
            await requests.WriteAsync(new StreamAnswerRequest { Id = $"{number}", Request = pair });
        }
    }
    finally
    {
        // After a bad line, too: else the answers would have no end.
        await requests.CompleteAsync();
    }
}

async Task<AnswerRequest?> ReadPairAsync()
{
    if (await input.ReadLineAsync() is not { } line)
    {
        return null;
    }
    var pair = JsonParser.Default.Parse<AnswerRequest>(line);
    pair.Options = new AnswerOptions { OffsetEncoding = OffsetEncoding.Utf16 };
    return pair;
}

async Task<AnswerRequest> FirstPairAsync() =>
    await ReadPairAsync() ?? throw new ArgumentException("no pair on standard input");

static Dictionary<string, object> Result(AnswerResponse? response, Google.Rpc.Status? error) =>
    response is null ? Details(error!) : new() { ["text"] = response.Answers[0].Text };

static Dictionary<string, object> Failure(RpcException exception)
{
    // What the client itself or a proxy ends has no details.
    var error = exception.GetRpcStatus() ?? new Google.Rpc.Status();
    error.Code = (int)exception.StatusCode;
    error.Message = exception.Status.Detail;
    return Details(error);
}

static Dictionary<string, object> Details(Google.Rpc.Status error)
{
    var details = new Dictionary<string, object>
    {
        ["code"] = UpperSnake((StatusCode)error.Code),
        ["message"] = error.Message,
    };
    var reason = error.GetDetail<ErrorInfo>()?.Reason;
    var violations = error.GetDetail<BadRequest>()?.FieldViolations;
    if (reason is not null)
    {
        details["reason"] = reason;
    }
    if (violations is not null)
    {
        var fields = new Dictionary<string, string>();
        foreach (var violation in violations)
        {
            fields[violation.Field] = violation.Description;
        }
        details["fields"] = fields;
    }
    return details;
}

static string UpperSnake(Enum name) => JsonNamingPolicy.SnakeCaseUpper.ConvertName($"{name}");

void Print(object line) => output.WriteLine(JsonSerializer.Serialize(line));
