//! The client for HTTP.
//!
//! Guarantees: redirects are followed here, each as a new target for the guard; credentials and bodies reach no other origin
//! than the one that was named; the whole takes at most `time_max`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

use crate::error::{OutgoingError, refused, unavailable};
use crate::guard::Guard;
use crate::transport;

/// Something to be sent.
#[derive(Clone)]
pub struct OutgoingRequest {
    /// How.
    pub method: Method,
    /// Where to, `https://…`, without name and password.
    pub url: String,
    /// Headers beside `Host`, `User-Agent` and the length. Those that are marked as sensitive stay with the first origin.
    pub headers: HeaderMap,
    /// The body; may be empty.
    pub body: Bytes,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct OutgoingResponse {
    /// Its status, which is no redirect that was followed.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// Sends requests. Cheap to clone; clones share their bounds.
#[derive(Clone)]
pub struct Client {
    guard: Guard,
    tls: Arc<ClientConfig>,
    places: Arc<Semaphore>,
}

/// What the next request of a chain of redirects is.
struct Step {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// A client behind this guard.
    pub fn new(guard: Guard) -> Result<Self, OutgoingError> {
        let tls = transport::tls(&guard.roots)?;
        let places = Arc::new(Semaphore::new(guard.options.at_once_max));
        Ok(Client { guard, tls, places })
    }

    /// Whether such an address could be asked, as far as it can be told without looking its name up.
    pub fn check(&self, url: &str) -> Result<(), OutgoingError> {
        self.target(url).map(drop)
    }

    /// Sends a request, follows redirects, and reads the answer.
    pub async fn send(&self, request: OutgoingRequest) -> Result<OutgoingResponse, OutgoingError> {
        self.send_made(|| request).await
    }

    /// The same with a request that is made when its turn has come, as one that tells the time.
    pub async fn send_made(
        &self,
        make: impl FnOnce() -> OutgoingRequest,
    ) -> Result<OutgoingResponse, OutgoingError> {
        let _place = self.places.acquire().await.map_err(|_| unavailable("the server stops"))?;
        let OutgoingRequest { method, url, headers, body } = make();
        let url = self.target(&url)?;
        let following = self.follow(Step { method, url, headers, body });
        timeout(self.guard.options.time_max, following).await.map_err(|_| OutgoingError::TooSlow)?
    }

    async fn follow(&self, mut step: Step) -> Result<OutgoingResponse, OutgoingError> {
        for _ in 0..=self.guard.options.redirects_max {
            let answer = self.ask(&step).await?;
            match self.redirected(&step, &answer)? {
                Some(next) => step = next,
                None => {
                    let (head, body) = answer.into_parts();
                    return Ok(OutgoingResponse { status: head.status, body });
                }
            }
        }
        Err(refused("it redirects too often"))
    }

    /// One request: the name is resolved, and what was found is checked and connected to.
    async fn ask(&self, step: &Step) -> Result<Response<Bytes>, OutgoingError> {
        let options = &self.guard.options;
        let host = step.url.host_str().unwrap_or_default();
        let port = step.url.port_or_known_default().unwrap_or(443);
        let addresses = self.guard.addresses(host, port).await?;
        let stream = transport::connect(&addresses, options).await?;
        let tls = (step.url.scheme() == "https").then_some((&self.tls, host));
        transport::exchange(stream, tls, head(step, host)?, options).await
    }

    /// What a redirect leads to; `None`: the answer is none.
    fn redirected(
        &self,
        step: &Step,
        answer: &Response<Bytes>,
    ) -> Result<Option<Step>, OutgoingError> {
        let keeps_method = match answer.status().as_u16() {
            307 | 308 => true,
            301..=303 => matches!(step.method, Method::GET | Method::HEAD),
            _ => return Ok(None),
        };
        let Some(location) = answer.headers().get(header::LOCATION) else { return Ok(None) };
        let location = location.to_str().map_err(|_| refused("it redirects to no address"))?;
        let url = step.url.join(location).map_err(|_| refused("it redirects to no address"))?;
        let url = self.target(url.as_str())?;
        let (mut headers, mut body, mut method) =
            (step.headers.clone(), step.body.clone(), step.method.clone());
        if !keeps_method {
            (method, body) = (Method::GET, Bytes::new());
            headers.remove(header::CONTENT_TYPE);
        }
        if url.origin() != step.url.origin() {
            if step.url.scheme() == "https" && url.scheme() != "https" {
                return Err(refused("it redirects from https to http"));
            }
            if !body.is_empty() {
                return Err(refused("it redirects what is sent to another origin"));
            }
            headers = foreign(&headers);
        }
        Ok(Some(Step { method, url, headers, body }))
    }

    /// An address that may be asked, as far as its text tells.
    fn target(&self, text: &str) -> Result<Url, OutgoingError> {
        let url = Url::parse(text).map_err(|_| refused("it is no address"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.guard.options.plain_http_allowed => {}
            "http" => return Err(refused("it is no https address")),
            _ => return Err(refused("it is neither an http nor an https address")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it has a name or password in it"));
        }
        let literal = match url.host() {
            None => return Err(refused("it has no host")),
            Some(url::Host::Domain(_)) => None,
            Some(url::Host::Ipv4(address)) => Some(address.into()),
            Some(url::Host::Ipv6(address)) => Some(address.into()),
        };
        if literal.is_some_and(|address| !self.guard.allows(address)) {
            return Err(refused("its address is not of the open internet"));
        }
        Ok(url)
    }
}

/// Headers for another origin: nothing that lets somebody in.
fn foreign(headers: &HeaderMap) -> HeaderMap {
    let secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];
    let kept =
        headers.iter().filter(|(name, value)| !value.is_sensitive() && !secret.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn head(step: &Step, host: &str) -> Result<Request<Full<Bytes>>, OutgoingError> {
    let authority = match step.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let path = &step.url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::new(Full::new(step.body.clone()));
    let wrong = || refused("it is no address");
    *request.method_mut() = step.method.clone();
    *request.uri_mut() = path.parse().map_err(|_| wrong())?;
    *request.headers_mut() = step.headers.clone();
    let headers = request.headers_mut();
    headers.insert(header::HOST, authority.parse().map_err(|_| wrong())?);
    headers.insert(header::USER_AGENT, http::HeaderValue::from_static("Cairn"));
    Ok(request)
}
