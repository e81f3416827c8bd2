package com.spanqa.example;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import com.spanqa.v1.Answer;
import com.spanqa.v1.AnswerRequest;
import com.spanqa.v1.AnswerResponse;
import com.spanqa.v1.BatchAnswerItem;
import com.spanqa.v1.BatchAnswerRequest;
import com.spanqa.v1.GetModelRequest;
import com.spanqa.v1.OffsetEncoding;
import com.spanqa.v1.QuestionAnsweringServiceGrpc;
import com.spanqa.v1.QuestionAnsweringServiceGrpc.QuestionAnsweringServiceBlockingStub;
import com.spanqa.v1.StreamAnswerRequest;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthGrpc;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Iterator;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/** Asks a SpanQA server. The README one directory up says what the commands do. */
public final class Example {
  private static final String USAGE =
      "usage: SPANQA_TARGET=HOST:PORT java -jar example.jar "
          + "answer|batch|stream|deadline|cancel|retry|health";
  private static final PrintStream OUT =
      new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8);
  private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

  private final ManagedChannel channel;
  private final QuestionAnsweringServiceBlockingStub service;
  private final Stream<AnswerRequest> pairs =
      new BufferedReader(new InputStreamReader(System.in, UTF_8)).lines().map(Example::pair);

  private Example(ManagedChannel channel) {
    this.channel = channel;
    service = QuestionAnsweringServiceGrpc.newBlockingStub(channel);
  }

  public static void main(String[] args) throws InterruptedException {
    String target = System.getenv("SPANQA_TARGET");
    try {
      if (args.length != 1 || target == null) {
        throw new IllegalArgumentException(USAGE);
      }
      boolean all = args[0].equals("retry");
      ManagedChannel channel = (all ? Channels.toAll(target) : Channels.to(target)).build();
      try {
        new Example(channel).run(args[0]);
      } finally {
        channel.shutdown().awaitTermination(5, SECONDS);
      }
    } catch (IllegalArgumentException | IOException e) {
      System.err.println(e.getMessage());
      System.exit(2);
    }
  }

  private void run(String command) throws InterruptedException {
    switch (command) {
      case "answer" -> pairs.forEach(pair -> attempt(() -> answer(pair)));
      case "batch" -> attempt(this::batch);
      case "stream" -> stream();
      case "deadline" -> attempt(this::deadline);
      case "cancel" -> attempt(this::cancel);
      case "retry" -> pairs.forEach(pair -> attempt(() -> print(ask(pair))));
      case "health" -> attempt(this::health);
      default -> throw new IllegalArgumentException(USAGE);
    }
  }

  private void answer(AnswerRequest pair) {
    AnswerResponse response = service.withDeadlineAfter(30, SECONDS).answer(pair);
    Answer best = response.getAnswers(0);
    String cut = pair.getContext().substring(best.getStart(), best.getEnd());
    String unit = response.getOffsetEncoding().name().replace("OFFSET_ENCODING_", "");
    print(new Cut(best.getText(), best.getStart(), best.getEnd(), unit, cut));
  }

  private Answered ask(AnswerRequest pair) {
    return Answered.of(null, service.withDeadlineAfter(30, SECONDS).answer(pair));
  }

  private void batch() {
    BatchAnswerRequest.Builder batch = BatchAnswerRequest.newBuilder();
    pairs.forEach(batch::addRequests);
    var response = service.withDeadlineAfter(60, SECONDS).batchAnswer(batch.build());
    for (BatchAnswerItem item : response.getItemsList()) {
      print(
          item.hasError()
              ? Failed.of(null, item.getError())
              : Answered.of(null, item.getResponse()));
    }
  }

  private void stream() throws InterruptedException {
    var call = new StreamCall();
    QuestionAnsweringServiceGrpc.newStub(channel).streamAnswer(call);
    Iterator<AnswerRequest> unread = pairs.iterator();
    for (long id = 0; call.waitUntilReady() && unread.hasNext(); id++) {
      var request = StreamAnswerRequest.newBuilder().setId(Long.toString(id));
      call.send(request.setRequest(unread.next()).build());
    }
    call.finish();
  }

  private void deadline() {
    AnswerRequest pair = firstPair();
    print(Answered.of(null, service.withDeadlineAfter(200, MILLISECONDS).answer(pair)));
  }

  private void cancel() {
    AnswerRequest pair = firstPair();
    // Opens the connection first: the 0.2 s are for the call alone.
    service.getModel(GetModelRequest.getDefaultInstance());
    var context = Context.current().withCancellation();
    CompletableFuture.delayedExecutor(200, MILLISECONDS).execute(() -> context.cancel(null));
    context.run(() -> print(ask(pair)));
  }

  private void health() {
    String name = QuestionAnsweringServiceGrpc.SERVICE_NAME;
    var request = HealthCheckRequest.newBuilder().setService(name).build();
    HealthCheckResponse response =
        HealthGrpc.newBlockingStub(channel).withDeadlineAfter(5, SECONDS).check(request);
    print(Map.of("status", response.getStatus().name()));
  }

  private AnswerRequest firstPair() {
    return pairs.findFirst().orElseThrow(() -> new IllegalArgumentException("no pair was given"));
  }

  private static AnswerRequest pair(String line) {
    AnswerRequest.Builder request = AnswerRequest.newBuilder();
    try {
      JsonFormat.parser().merge(line, request);
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalArgumentException("not a pair: " + e.getMessage(), e);
    }
    request.getOptionsBuilder().setOffsetEncoding(OffsetEncoding.OFFSET_ENCODING_UTF16);
    return request.build();
  }

  private static void attempt(Runnable call) {
    try {
      call.run();
    } catch (StatusRuntimeException e) {
      print(Failed.of(e));
    }
  }

  static void print(Object result) {
    OUT.println(GSON.toJson(result));
  }

  private record Cut(String text, int start, int end, String unit, String cut) {}

  record Answered(String id, String text) {
    static Answered of(String id, AnswerResponse response) {
      return new Answered(id, response.getAnswers(0).getText());
    }
  }
}
