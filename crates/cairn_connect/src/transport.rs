//! One exchange over one connection: to a checked address, with the name as what TLS asks for.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::{OutgoingError, refused, unavailable};
use crate::guard::OutgoingOptions;

/// Bytes of an answer's head, and of what is read ahead.
const HEAD_SIZE_BYTES_MAX: usize = 64 * 1024;

/// How TLS is spoken: versions 1.2 and 1.3, with these authorities.
pub(crate) fn tls(roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, OutgoingError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| unavailable("TLS cannot be set up"))?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection to the first of these addresses that takes one.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    options: &OutgoingOptions,
) -> Result<TcpStream, OutgoingError> {
    let mut last = unavailable("nobody takes a connection");
    for address in addresses {
        match timeout(options.connect_time_max, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(_)) => last = unavailable("nobody takes a connection"),
            Err(_) => last = OutgoingError::TooSlow,
        }
    }
    Err(last)
}

/// Sends a request and reads the whole answer.
pub(crate) async fn exchange(
    stream: TcpStream,
    tls: Option<(&Arc<ClientConfig>, &str)>,
    request: Request<Full<Bytes>>,
    options: &OutgoingOptions,
) -> Result<Response<Bytes>, OutgoingError> {
    let Some((config, host)) = tls else { return spoken(stream, request, options).await };
    let name = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(|_| refused("its name is no host name"))?;
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let stream = timeout(options.connect_time_max, handshake).await;
    let stream = stream.map_err(|_| OutgoingError::TooSlow)?;
    spoken(stream.map_err(|_| unavailable("TLS with it fails"))?, request, options).await
}

async fn spoken<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    options: &OutgoingOptions,
) -> Result<Response<Bytes>, OutgoingError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |_| unavailable("it does not speak HTTP");
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_SIZE_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let limited = Limited::new(body, options.answer_size_bytes_max);
        let body = limited.collect().await.map_err(|error| match error.is::<hyper::Error>() {
            true => unavailable("its answer breaks off"),
            false => OutgoingError::TooLarge { size_bytes_max: options.answer_size_bytes_max },
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    // The connection lives as long as the answer is waited for, on this task.
    tokio::pin!(asked, connection);
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        _ = &mut connection => asked.await,
    }
}
