//! Mail over SMTP.
//!
//! Guarantees: the mail server is reached through a guard as everything else is, and certificates are checked against its
//! name; without `none` nothing is said before TLS; name and password are sent under TLS only. Final is only what it says to a
//! mail: that it takes no connection, no TLS or no log-in now may be mended while the mail waits.

use std::fmt;
use std::sync::Arc;

use lettre::address::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::{OutgoingError, refused, unavailable};
use crate::guard::Guard;

/// How the connection to the mail server is secured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailSecurity {
    /// It begins in the clear and turns to TLS before anything else (usually port 587).
    StartTls,
    /// TLS from the first byte (usually port 465).
    Tls,
    /// Not at all: for a mail server on the same machine.
    None,
}

/// Which mail server takes mails.
#[derive(Clone)]
pub struct SmtpOptions {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: MailSecurity,
    /// Name to log in with; empty: nobody logs in.
    pub username: String,
    /// The password that goes with it.
    pub password: String,
    /// Whom mails are from, as `Cairn <stats@example.com>`.
    pub from: String,
}

impl fmt::Debug for SmtpOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SmtpOptions(hidden)")
    }
}

/// A mail to one recipient.
#[derive(Clone)]
pub struct Mail {
    /// Whom it is for.
    pub to: String,
    /// Its subject, one line.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// The same as HTML; empty: text alone.
    pub html: String,
    /// What makes it this mail, for mail servers that got it twice: letters, digits, `.` and `-`.
    pub key: String,
    /// Where `POST` ends such mails (RFC 8058); empty: nowhere.
    pub unsubscribe_url: String,
}

/// Sends mails. Cheap to clone; clones share their bounds.
#[derive(Clone)]
pub struct Mailer {
    guard: Guard,
    smtp: Arc<SmtpOptions>,
    from: Mailbox,
    places: Arc<Semaphore>,
}

/// Whether this is a mail address that can be written to.
pub fn is_mail_address(text: &str) -> bool {
    text.parse::<Address>().is_ok() && text.is_ascii()
}

impl Mailer {
    /// A mailer behind this guard.
    pub fn new(guard: Guard, smtp: SmtpOptions) -> Result<Self, OutgoingError> {
        let from = smtp.from.parse().map_err(|_| refused("the sender is no mail address"))?;
        if smtp.security == MailSecurity::None && !smtp.username.is_empty() {
            return Err(refused("a password would be sent in the clear"));
        }
        let places = Arc::new(Semaphore::new(guard.options.at_once_max));
        Ok(Mailer { guard, smtp: Arc::new(smtp), from, places })
    }

    /// Hands a mail to the mail server.
    pub async fn send(&self, mail: &Mail) -> Result<(), OutgoingError> {
        let message = self.message(mail)?;
        let _place = self.places.acquire().await.map_err(|_| unavailable("the server stops"))?;
        let sending = self.hand_over(message);
        timeout(self.guard.options.time_max, sending).await.map_err(|_| OutgoingError::TooSlow)?
    }

    async fn hand_over(&self, message: Message) -> Result<(), OutgoingError> {
        let addresses = self.guard.addresses(&self.smtp.host, self.smtp.port).await?;
        let security = self.smtp.security;
        let hello = ClientId::Domain(self.from.email.domain().to_owned());
        let at_once = if security == MailSecurity::Tls { Some(self.tls()?) } else { None };
        let wait = Some(self.guard.options.connect_time_max);
        // Given addresses, it has no name to look up again.
        let connecting =
            AsyncSmtpConnection::connect_tokio1(&*addresses, wait, &hello, at_once, None);
        let mut connection = connecting.await.map_err(|error| not_ready(&error))?;
        let said = self.say(&mut connection, &hello, &message).await;
        if said.is_ok() {
            // Whatever is answered to that, the mail is taken.
            let _ = connection.quit().await;
        }
        said
    }

    async fn say(
        &self,
        connection: &mut AsyncSmtpConnection,
        hello: &ClientId,
        message: &Message,
    ) -> Result<(), OutgoingError> {
        let failed = |error: Error| not_ready(&error);
        if self.smtp.security == MailSecurity::StartTls {
            if !connection.can_starttls() {
                return Err(unavailable("the mail server has no STARTTLS"));
            }
            connection.starttls(self.tls()?, hello).await.map_err(failed)?;
        }
        if !self.smtp.username.is_empty() {
            let credentials =
                Credentials::new(self.smtp.username.clone(), self.smtp.password.clone());
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
                .await
                .map_err(failed)?;
        }
        let sent = connection.send(message.envelope(), &message.formatted()).await;
        sent.map(drop).map_err(|error| told(&error))
    }

    fn tls(&self) -> Result<TlsParameters, OutgoingError> {
        let mut builder = TlsParameters::builder(self.smtp.host.clone());
        for pem in authorities(&self.guard.options.authorities_pem) {
            let broken = |_| refused("a certificate authority of the configuration is broken");
            let certificate = Certificate::from_pem(pem.as_bytes()).map_err(broken)?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build_rustls().map_err(|_| unavailable("TLS cannot be set up"))
    }

    fn message(&self, mail: &Mail) -> Result<Message, OutgoingError> {
        let to: Address =
            mail.to.parse().map_err(|_| refused("the recipient is no mail address"))?;
        let domain = self.from.email.domain();
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject.clone())
            .message_id(Some(format!("<{}@{domain}>", mail.key)))
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()));
        if !mail.unsubscribe_url.is_empty() {
            message = message
                .raw_header(raw("List-Unsubscribe", format!("<{}>", mail.unsubscribe_url)))
                .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        let plain = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(mail.text.clone());
        let made = match mail.html.is_empty() {
            true => message.singlepart(plain),
            false => {
                let html = SinglePart::builder().header(ContentType::TEXT_HTML);
                let html = html.body(mail.html.clone());
                message.multipart(MultiPart::alternative().singlepart(plain).singlepart(html))
            }
        };
        made.map_err(|_| refused("the mail cannot be written"))
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Mailer(hidden)")
    }
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

/// Each certificate of a PEM text.
fn authorities(pem: &[u8]) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem).into_owned();
    text.split_inclusive(END).filter(|part| part.contains(END)).map(str::to_owned).collect()
}

/// The error of a mail server before any mail was named to it.
fn not_ready(error: &Error) -> OutgoingError {
    match told(error) {
        OutgoingError::MailRefused { .. } => unavailable("the mail server takes no mail from here"),
        other => other,
    }
}

/// The error without what the server said: that may repeat the recipient.
fn told(error: &Error) -> OutgoingError {
    let status = error.status().map(u16::from);
    match status {
        // RFC 4954, section 6: these are about the log-in, not about the mail.
        Some(530..=538) => unavailable("the mail server refuses the log-in"),
        Some(status) if error.is_permanent() => OutgoingError::MailRefused { status },
        Some(_) => unavailable("the mail server asks to try again later"),
        None if error.is_timeout() => OutgoingError::TooSlow,
        None if error.is_tls() => unavailable("TLS with the mail server fails"),
        None if error.is_response() => unavailable("the mail server does not speak SMTP"),
        None => unavailable("nobody takes a connection"),
    }
}
