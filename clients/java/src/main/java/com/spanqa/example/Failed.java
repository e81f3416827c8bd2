package com.spanqa.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.protobuf.StatusProto;
import java.util.LinkedHashMap;
import java.util.Map;

/** A call or pair that failed, and what its details say. What is null is not printed. */
record Failed(String id, String code, String message, String reason, Map<String, String> fields) {
  static Failed of(Throwable failure) {
    Status status = StatusProto.fromThrowable(failure);
    return of(null, status);
  }

  static Failed of(String id, Status status) {
    String reason = null;
    Map<String, String> fields = new LinkedHashMap<>();
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          reason = detail.unpack(ErrorInfo.class).getReason();
        } else if (detail.is(BadRequest.class)) {
          for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
            fields.put(violation.getField(), violation.getDescription());
          }
        }
      }
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalStateException("the server sent details that cannot be read", e);
    }
    String code = Code.forNumber(status.getCode()).name();
    return new Failed(id, code, status.getMessage(), reason, fields.isEmpty() ? null : fields);
  }
}
