//! Servers that answer as they are told, names that lead where a test wants, and certificates of an authority of its own.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_connect::{Client, Guard, OutgoingOptions, Resolve, Resolving};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The name of every server here.
pub const HOST: &str = "hooks.example";

/// Answers each question with the next list of addresses, the last one again and again.
pub struct Names {
    answers: Vec<Vec<IpAddr>>,
    pub asked: AtomicUsize,
}

impl Names {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers =
            answers.iter().map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        Arc::new(Names { answers: answers.collect(), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.get(number).or(self.answers.last()).cloned();
        Box::pin(async move { answer.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

/// Loopback is allowed, at one address only.
pub fn options() -> OutgoingOptions {
    OutgoingOptions {
        networks_allowed: vec!["127.0.0.1/32".parse().unwrap()],
        plain_http_allowed: true,
        time_max: Duration::from_secs(10),
        answer_size_bytes_max: 64 * 1024,
        ..OutgoingOptions::default()
    }
}

pub fn client(options: OutgoingOptions, names: &Arc<Names>) -> Client {
    let guard = Guard::resolving_by(options, Arc::clone(names) as Arc<dyn Resolve>).unwrap();
    Client::new(guard).unwrap()
}

/// A certificate for a name: what a server needs, and the authority in PEM.
pub fn certificate(name: &str) -> (Arc<ServerConfig>, Vec<u8>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), cert.pem().into_bytes())
}

/// What a server says to a request.
#[derive(Clone)]
pub enum Says {
    /// This, and closes.
    Text(String),
    /// Nothing, and stays.
    Nothing,
    /// A body without end.
    Endless,
}

pub fn ok(body: &str) -> Says {
    Says::Text(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

pub fn redirect(status: u16, location: &str) -> Says {
    let head = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\n");
    Says::Text(format!("{head}content-length: 0\r\n\r\n"))
}

/// A server that notes the requests it gets.
pub struct Server {
    pub port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    /// Names that clients asked for by TLS.
    pub names: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start(says: Says) -> Self {
        Self::with(says, None).await
    }

    pub async fn with(says: Says, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let names = Arc::<Mutex<Vec<String>>>::default();
        let (told, seen) = (Arc::clone(&heard), Arc::clone(&names));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match tls.clone() {
                    None => serve(stream, &says, &told).await,
                    Some(tls) => {
                        let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
                            continue;
                        };
                        let name = stream.get_ref().1.server_name().unwrap_or_default();
                        seen.lock().unwrap().push(name.to_owned());
                        serve(stream, &says, &told).await;
                    }
                }
            }
        });
        Server { port, heard, names }
    }

    pub fn url(&self) -> String {
        format!("http://{HOST}:{}/hook?secret=1", self.port)
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve<S>(mut stream: S, says: &Says, heard: &Mutex<Vec<String>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&part[..count]),
        }
    }
    heard.lock().unwrap().push(String::from_utf8(request).unwrap());
    match says.clone() {
        Says::Text(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Says::Nothing => {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1]).await;
            });
        }
        Says::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}
