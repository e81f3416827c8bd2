//! A channel to one address, with TLS and a token where the environment names them.

use std::error::Error;
use std::time::Duration;
use std::{env, fs};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

pub type Service = InterceptedService<Channel, Bearer>;

/// Puts the token, if there is one, into every call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects with the first call.
pub fn connect(target: &str) -> Result<Service, Box<dyn Error>> {
    let authority = env::var("SPANQA_CA").ok();
    let scheme = if authority.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{target}"))
        .map_err(|_| format!("not a host:port: {target}"))?
        .connect_timeout(Duration::from_secs(5))
        // The server closes connections that ping more often than every 10 seconds.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(true);
    if let Some(path) = authority {
        let pem = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        endpoint = endpoint.tls_config(tls)?;
    }
    let token = env::var("SPANQA_TOKEN").ok().map(|token| format!("Bearer {token}").parse());
    let bearer = Bearer(token.transpose().map_err(|_| "SPANQA_TOKEN is not a token")?);
    Ok(InterceptedService::new(endpoint.connect_lazy(), bearer))
}
