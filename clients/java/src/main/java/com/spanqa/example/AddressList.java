package com.spanqa.example;

import com.google.common.net.HostAndPort;
import io.grpc.Attributes;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.StatusOr;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.List;
import java.util.stream.Stream;

/**
 * Targets like {@code list:///host:port,host:port}. Where one DNS name has the addresses of all
 * servers, {@code dns:///name:port} does the same without this class.
 */
final class AddressList extends NameResolverProvider {
  @Override
  public NameResolver newNameResolver(URI target, NameResolver.Args args) {
    List<HostAndPort> addresses =
        Stream.of(target.getPath().substring(1).split(","))
            .map(address -> HostAndPort.fromString(address).withDefaultPort(args.getDefaultPort()))
            .toList();
    return new NameResolver() {
      private Listener2 listener;

      @Override
      public String getServiceAuthority() {
        return addresses.get(0).toString();
      }

      @Override
      public void start(Listener2 listener) {
        this.listener = listener;
        refresh();
      }

      @Override
      public void refresh() {
        // Elsewhere, as host names are looked up.
        args.getOffloadExecutor().execute(() -> listener.onResult(resolve(addresses)));
      }

      @Override
      public void shutdown() {}
    };
  }

  private static NameResolver.ResolutionResult resolve(List<HostAndPort> addresses) {
    var groups = addresses.stream().map(AddressList::group).toList();
    return NameResolver.ResolutionResult.newBuilder()
        .setAddressesOrError(StatusOr.fromValue(groups))
        .build();
  }

  private static EquivalentAddressGroup group(HostAndPort address) {
    var socketAddress = new InetSocketAddress(address.getHost(), address.getPort());
    // With TLS each server shows a certificate for its own host.
    var authority = EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE;
    return new EquivalentAddressGroup(
        socketAddress, Attributes.newBuilder().set(authority, address.toString()).build());
  }

  @Override
  public String getDefaultScheme() {
    return "list";
  }

  @Override
  protected boolean isAvailable() {
    return true;
  }

  @Override
  protected int priority() {
    return 5;
  }
}
