package com.spanqa.example;

import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.NameResolverRegistry;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.util.Map;

/** Channels with what SPANQA_CA and SPANQA_TOKEN say. */
final class Channels {
  // With UNKNOWN grpc-java ends a call whose connection breaks while it writes (its issue 10120).
  private static final String SERVICE_CONFIG =
      """
      {"loadBalancingConfig": [{"round_robin": {}}],
       "healthCheckConfig": {"serviceName": "spanqa.v1.QuestionAnsweringService"},
       "methodConfig": [{
         "name": [{"service": "spanqa.v1.QuestionAnsweringService", "method": "Answer"},
                  {"service": "spanqa.v1.QuestionAnsweringService", "method": "BatchAnswer"},
                  {"service": "spanqa.v1.QuestionAnsweringService", "method": "AnswerFromDocuments"},
                  {"service": "spanqa.v1.QuestionAnsweringService", "method": "ComputeLogits"},
                  {"service": "spanqa.v1.QuestionAnsweringService", "method": "GetModel"}],
         "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s",
                         "backoffMultiplier": 3,
                         "retryableStatusCodes":
                           ["UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED", "UNKNOWN"]}}]}
      """;

  private Channels() {}

  /** To one server. */
  static ManagedChannelBuilder<?> to(String target) throws IOException {
    String authority = System.getenv("SPANQA_CA");
    ChannelCredentials credentials =
        authority == null
            ? InsecureChannelCredentials.create()
            : TlsChannelCredentials.newBuilder().trustManager(new File(authority)).build();
    ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(target, credentials);
    builder.maxInboundMessageSize(64 << 20);
    builder.keepAliveTime(30, SECONDS);
    String token = System.getenv("SPANQA_TOKEN");
    if (token != null) {
      Metadata headers = new Metadata();
      var name = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
      headers.put(name, "Bearer " + token);
      builder.intercept(MetadataUtils.newAttachHeadersInterceptor(headers));
    }
    return builder;
  }

  /** To several servers in turn; calls are repeated. */
  static ManagedChannelBuilder<?> toAll(String targets) throws IOException {
    NameResolverRegistry.getDefaultRegistry().register(new AddressList());
    ManagedChannelBuilder<?> builder = to("list:///" + targets);
    Map<String, ?> config = new Gson().fromJson(SERVICE_CONFIG, new TypeToken<Map<String, ?>>() {});
    builder.defaultServiceConfig(config);
    return builder;
  }
}
