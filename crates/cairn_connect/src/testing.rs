//! For tests: a mail server on loopback that speaks SMTP and keeps what it was given.
//!
//! It says what it is told to say; it knows no queue and passes nothing on.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A mail that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakenMail {
    /// Whom it is from, as the envelope says.
    pub from: String,
    /// Whom it is for, as the envelope says.
    pub to: String,
    /// Headers and body, as they came.
    pub data: String,
    /// It came under TLS.
    pub encrypted: bool,
    /// The words after `AUTH PLAIN`, if somebody logged in.
    pub login: String,
}

/// How it behaves.
#[derive(Clone, Default)]
pub struct MailServerOptions {
    /// Certificate and key for TLS; without, it has none.
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// A word that is answered like this, as `("AUTH", "535 no")`; the empty word is the connection itself.
    pub refuses: Option<(&'static str, &'static str)>,
}

/// What it answers at the end of a mail.
type Answer = Arc<Mutex<&'static str>>;

/// A mail server that runs until it is dropped.
pub struct MailServer {
    /// Where it listens.
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<TakenMail>>>,
    answer: Answer,
    task: JoinHandle<()>,
}

impl MailServer {
    /// Starts it on a free port.
    pub async fn start(options: MailServerOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let taken = Arc::<Mutex<Vec<TakenMail>>>::default();
        let answer: Answer = Arc::new(Mutex::new("250 taken"));
        let (held, said) = (Arc::clone(&taken), Arc::clone(&answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (options, held, said) = (options.clone(), Arc::clone(&held), Arc::clone(&said));
                tokio::spawn(async move { serve(stream, &options, &held, &said).await });
            }
        });
        Ok(MailServer { address, taken, answer, task })
    }

    /// What was taken so far.
    pub fn taken(&self) -> Vec<TakenMail> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on mails are answered like this, as `451 later`; they are kept where it begins with 2.
    pub fn answers(&self, answer: &'static str) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    options: &MailServerOptions,
    held: &Mutex<Vec<TakenMail>>,
    said: &Mutex<&'static str>,
) -> io::Result<()> {
    let acceptor = options.tls.clone().map(TlsAcceptor::from);
    let mut talk = Talk {
        held,
        said,
        refuses: options.refuses,
        login: String::new(),
        encrypted: false,
        greets: true,
    };
    match acceptor {
        Some(acceptor) if options.implicit_tls => {
            talk.encrypted = true;
            talk.run(BufStream::new(acceptor.accept(stream).await?), false).await.map(drop)
        }
        Some(acceptor) => {
            let Some(stream) = talk.run(BufStream::new(stream), true).await? else { return Ok(()) };
            (talk.encrypted, talk.greets) = (true, false);
            talk.run(BufStream::new(acceptor.accept(stream).await?), false).await.map(drop)
        }
        None => talk.run(BufStream::new(stream), false).await.map(drop),
    }
}

struct Talk<'a> {
    held: &'a Mutex<Vec<TakenMail>>,
    said: &'a Mutex<&'static str>,
    refuses: Option<(&'static str, &'static str)>,
    login: String,
    encrypted: bool,
    greets: bool,
}

impl Talk<'_> {
    /// Talks to the end, or to `STARTTLS`, after which the bare stream comes back.
    async fn run<S>(&mut self, mut stream: BufStream<S>, starts_tls: bool) -> io::Result<Option<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from, mut to, mut line) = (String::new(), String::new(), String::new());
        let refused = |word: &str| self.refuses.filter(|(refused, _)| *refused == word);
        if self.greets {
            let greeting = refused("").map_or("220 mail.test ESMTP", |(_, answer)| answer);
            say(&mut stream, greeting).await?;
        }
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let (word, rest) =
                line.trim_end().split_once([' ', ':']).unwrap_or((line.trim_end(), ""));
            let address = || rest.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let word = word.to_ascii_uppercase();
            if let Some((_, answer)) = refused(&word) {
                say(&mut stream, answer).await?;
                continue;
            }
            match word.as_str() {
                "EHLO" if starts_tls => say(&mut stream, "250-mail.test\r\n250 STARTTLS").await?,
                "EHLO" => {
                    say(&mut stream, "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN").await?
                }
                "STARTTLS" => {
                    say(&mut stream, "220 go on").await?;
                    return Ok(Some(stream.into_inner()));
                }
                "AUTH" => {
                    self.login = rest.trim_start_matches("PLAIN ").to_owned();
                    say(&mut stream, "235 welcome").await?;
                }
                "MAIL" => {
                    from = address();
                    say(&mut stream, "250 fine").await?;
                }
                "RCPT" => {
                    to = address();
                    say(&mut stream, "250 fine").await?;
                }
                "DATA" => {
                    say(&mut stream, "354 go on").await?;
                    let data = data(&mut stream).await?;
                    let answer = *self.said.lock().unwrap_or_else(PoisonError::into_inner);
                    if answer.starts_with('2') {
                        let (from, to) = (from.clone(), to.clone());
                        let login = self.login.clone();
                        let mail = TakenMail { from, to, data, encrypted: self.encrypted, login };
                        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
                    }
                    say(&mut stream, answer).await?;
                }
                "QUIT" => {
                    say(&mut stream, "221 bye").await?;
                    return Ok(None);
                }
                _ => say(&mut stream, "250 fine").await?,
            }
        }
    }
}

/// A mail up to its lone dot, with doubled dots undone.
async fn data<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> io::Result<String> {
    let (mut data, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(if line.starts_with("..") { &line[1..] } else { &line });
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    text: &str,
) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await
}
