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

/// A channel to all of these addresses, with TLS and a token where the environment names them.
/// It connects with the first call.
pub fn connect(targets: &str) -> Result<Service, Box<dyn Error>> {
    let tls = match env::var("SPANQA_CA") {
        Ok(path) => {
            let pem = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
            Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
        }
        Err(_) => None,
    };
    let endpoints: Vec<Endpoint> =
        targets.split(',').map(|target| endpoint(target, tls.clone())).collect::<Result<_, _>>()?;
    let token = env::var("SPANQA_TOKEN").ok().map(|token| format!("Bearer {token}").parse());
    let bearer = Bearer(token.transpose().map_err(|_| "SPANQA_TOKEN is not a token")?);
    // Each call goes to an address drawn at random. One that is down is drawn as well: such a call
    // fails with UNAVAILABLE, and its next attempt goes elsewhere while tonic connects again.
    Ok(InterceptedService::new(Channel::balance_list(endpoints.into_iter()), bearer))
}

fn endpoint(target: &str, tls: Option<ClientTlsConfig>) -> Result<Endpoint, Box<dyn Error>> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{target}"))
        .map_err(|_| format!("not a host:port: {target}"))?
        .connect_timeout(Duration::from_secs(5))
        // The server closes connections that ping more often than every 10 seconds.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(true);
    Ok(match tls {
        Some(tls) => endpoint.tls_config(tls)?,
        None => endpoint,
    })
}
