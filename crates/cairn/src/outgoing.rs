//! The ways out, as configured, and the clock of what goes out by itself.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use cairn_connect::{Client, Guard, MailSecurity, Mailer, OutgoingOptions, SmtpOptions};
use cairn_enrich::network::Prefix;
use cairn_server::App;
use cairn_server::sending::{self, Outgoing};

use crate::Failure;
use crate::config::{self, Config};

/// Pause between two looks for what is to be sent.
const SENDING_INTERVAL: Duration = Duration::from_secs(60);

/// Opens the ways out, which connects to nothing yet. Without a mail server there is none for mails.
pub fn open(config: &Config) -> Result<Outgoing, Failure> {
    let config::Outgoing { networks_allowed, http_allowed, authorities } = &config.outgoing;
    let authorities_pem = match authorities.as_os_str().is_empty() {
        true => Vec::new(),
        false => std::fs::read(authorities)
            .map_err(|error| format!("setting `outgoing.authorities`: {error}"))?,
    };
    let guard = Guard::new(OutgoingOptions {
        networks_allowed: networks("outgoing.networks_allowed", networks_allowed)?,
        plain_http_allowed: *http_allowed,
        authorities_pem,
        ..OutgoingOptions::default()
    })?;
    let client = Some(Arc::new(Client::new(guard.clone())?));
    Ok(Outgoing { client, mailer: mailer(config, guard)? })
}

fn networks(setting: &str, texts: &[String]) -> Result<Vec<Prefix>, Failure> {
    let wrong = |text| format!("setting `{setting}`: \"{text}\" is no address or network");
    let read = texts.iter().map(|text| text.parse().map_err(|_| wrong(text).into()));
    read.collect()
}

fn mailer(config: &Config, guard: Guard) -> Result<Option<Mailer>, Failure> {
    let smtp = &config.smtp;
    if smtp.host.is_empty() {
        return Ok(None);
    }
    if !is_host(&smtp.host) {
        return Err("setting `smtp.host`: it is no name or address of a host".into());
    }
    if smtp.port == 0 {
        return Err("setting `smtp.port`: there is no port 0".into());
    }
    if smtp.username.is_empty() != smtp.password.reveal().is_empty() {
        return Err(
            "settings `smtp.username` and `smtp.password`: one is set without the other".into()
        );
    }
    let security = match smtp.security {
        config::MailSecurity::StartTls => MailSecurity::StartTls,
        config::MailSecurity::Tls => MailSecurity::Tls,
        config::MailSecurity::None => MailSecurity::None,
    };
    let options = SmtpOptions {
        host: smtp.host.clone(),
        port: smtp.port,
        security,
        username: smtp.username.clone(),
        password: smtp.password.reveal().to_owned(),
        from: smtp.from.clone(),
    };
    // What the mail server may be is nothing that webhooks may ask.
    let guard = guard.allowing(&networks("smtp.networks_allowed", &smtp.networks_allowed)?);
    Ok(Some(Mailer::new(guard, options).map_err(|error| format!("settings `smtp`: {error}"))?))
}

/// A name or an address alone: no scheme, port or path.
fn is_host(text: &str) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_');
    text.chars().all(fits) || text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok()
}

/// Sends what is due, every minute. Under the test clock requests live in days of their own, and nothing goes out by itself.
pub async fn keep_sending(app: Arc<App>) {
    if app.config.test_clock {
        return;
    }
    let mut tick = tokio::time::interval(SENDING_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        sending::round(&app, (app.clock)()).await;
    }
}
