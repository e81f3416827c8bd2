package com.spanqa.example;

import com.spanqa.example.Example.Answered;
import com.spanqa.v1.StreamAnswerRequest;
import com.spanqa.v1.StreamAnswerResponse;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;

/** Prints what comes, and says when the next pair may be sent. */
final class StreamCall
    implements ClientResponseObserver<StreamAnswerRequest, StreamAnswerResponse> {
  private ClientCallStreamObserver<StreamAnswerRequest> requests;
  private boolean ended;

  @Override
  public void beforeStart(ClientCallStreamObserver<StreamAnswerRequest> requests) {
    this.requests = requests;
    requests.setOnReadyHandler(this::wake);
  }

  @Override
  public void onNext(StreamAnswerResponse item) {
    String id = item.getId();
    Example.print(
        item.hasError() ? Failed.of(id, item.getError()) : Answered.of(id, item.getResponse()));
  }

  @Override
  public void onError(Throwable e) {
    Example.print(Failed.of(e));
    onCompleted();
  }

  @Override
  public synchronized void onCompleted() {
    ended = true;
    notifyAll();
  }

  private synchronized void wake() {
    notifyAll();
  }

  /** Waits until the transport takes a message; false if the call has ended. */
  synchronized boolean waitUntilReady() throws InterruptedException {
    while (!ended && !requests.isReady()) {
      wait();
    }
    return !ended;
  }

  void send(StreamAnswerRequest request) {
    requests.onNext(request);
  }

  /** No more is sent; waits for the answers that are still to come. */
  synchronized void finish() throws InterruptedException {
    requests.onCompleted();
    while (!ended) {
      wait();
    }
  }
}
