//! Mails, given to a mail server that really speaks SMTP.

use std::sync::Arc;

use cairn_connect::testing::{MailServer, MailServerOptions};
use cairn_connect::{
    Guard, Mail, MailSecurity, Mailer, OutgoingError, OutgoingOptions, Resolve, SmtpOptions,
};

use crate::rig::{HOST, Names, certificate, options};

fn mail() -> Mail {
    Mail {
        to: "reader@example.com".to_owned(),
        subject: "Füße\r\nBcc: everybody@example.com".to_owned(),
        text: "Plain text\n.\nafter a dot".to_owned(),
        html: "<p>Höhe</p>".to_owned(),
        key: "digest-1-2026-11-23".to_owned(),
        unsubscribe_url: "https://stats.example/unsubscribe?token=1".to_owned(),
    }
}

fn smtp(server: &MailServer, security: MailSecurity) -> SmtpOptions {
    SmtpOptions {
        host: HOST.to_owned(),
        port: server.address.port(),
        security,
        username: String::new(),
        password: String::new(),
        from: "Cairn <stats@example.com>".to_owned(),
    }
}

fn mailer(options: OutgoingOptions, smtp: SmtpOptions) -> Mailer {
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"]]) as Arc<dyn Resolve>;
    Mailer::new(Guard::resolving_by(options, names).unwrap(), smtp).unwrap()
}

#[tokio::test]
async fn a_mail_arrives_with_text_html_and_the_way_to_end_it() {
    let server = MailServer::start(MailServerOptions::default()).await.unwrap();
    mailer(options(), smtp(&server, MailSecurity::None)).send(&mail()).await.unwrap();
    let [taken] = server.taken().try_into().unwrap();
    assert_eq!(
        (taken.from.as_str(), taken.to.as_str()),
        ("stats@example.com", "reader@example.com")
    );
    for part in [
        "Message-ID: <digest-1-2026-11-23@example.com>\r\n",
        "List-Unsubscribe: <https://stats.example/unsubscribe?token=1>\r\n",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        "multipart/alternative",
        "Plain text\r\n.\r\nafter a dot",
        "H=C3=B6he",
    ] {
        assert!(taken.data.contains(part), "{part}: {}", taken.data);
    }
    // A subject is one header, whatever is in it.
    assert!(!taken.data.contains("\nBcc:"), "{}", taken.data);
}

#[tokio::test]
async fn names_and_passwords_go_under_tls_only() {
    let (tls, authorities_pem) = certificate(HOST);
    let trusting = OutgoingOptions { authorities_pem, ..options() };
    for security in [MailSecurity::StartTls, MailSecurity::Tls] {
        let implicit_tls = security == MailSecurity::Tls;
        let tls = MailServerOptions { tls: Some(Arc::clone(&tls)), implicit_tls, refuses: None };
        let server = MailServer::start(tls).await.unwrap();
        let known = SmtpOptions {
            username: "cairn".to_owned(),
            password: "word".to_owned(),
            ..smtp(&server, security)
        };
        mailer(trusting.clone(), known.clone()).send(&mail()).await.unwrap();
        let [taken] = server.taken().try_into().unwrap();
        // NUL, name, NUL, password in base64.
        assert_eq!((taken.encrypted, taken.login.as_str()), (true, "AGNhaXJuAHdvcmQ="));
        // An authority that nobody named is not believed.
        let error = mailer(options(), known.clone()).send(&mail()).await.unwrap_err();
        assert!(error.is_worth_repeating() && !format!("{error:?}{known:?}").contains("word"));
        assert_eq!(server.taken().len(), 1);
    }
    let server = MailServer::start(MailServerOptions::default()).await.unwrap();
    let open = SmtpOptions { username: "cairn".to_owned(), ..smtp(&server, MailSecurity::None) };
    let guard = Guard::new(options()).unwrap();
    assert!(matches!(Mailer::new(guard, open), Err(OutgoingError::Refused { .. })));
    // Without STARTTLS nothing is said in the clear.
    let bare = mailer(options(), smtp(&server, MailSecurity::StartTls)).send(&mail()).await;
    assert!(matches!(bare, Err(OutgoingError::Unavailable { .. })), "{bare:?}");
    assert_eq!(server.taken(), []);
}

#[tokio::test]
async fn only_what_is_said_to_the_mail_itself_is_final() {
    let (tls, authorities_pem) = certificate(HOST);
    let trusting = OutgoingOptions { authorities_pem, ..options() };
    for (word, answer, is_final) in [
        ("", "554 reader@example.com: no service", false),
        ("EHLO", "550 no", false),
        ("STARTTLS", "502 no", false),
        ("AUTH", "535 no", false),
        ("MAIL", "530 log in first", false),
        ("MAIL", "550 this sender never", true),
        ("RCPT", "550 reader@example.com is nobody", true),
        ("RCPT", "450 later", false),
    ] {
        let options = MailServerOptions {
            tls: Some(Arc::clone(&tls)),
            implicit_tls: false,
            refuses: Some((word, answer)),
        };
        let server = MailServer::start(options).await.unwrap();
        let known = SmtpOptions {
            username: "cairn".to_owned(),
            password: "word".to_owned(),
            ..smtp(&server, MailSecurity::StartTls)
        };
        let error = mailer(trusting.clone(), known).send(&mail()).await.unwrap_err();
        assert_eq!(!error.is_worth_repeating(), is_final, "{word} {answer}: {error:?}");
        assert!(!error.to_string().contains("reader"), "{error}");
        assert_eq!(server.taken(), []);
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_told_from_one_for_now() {
    let server = MailServer::start(MailServerOptions::default()).await.unwrap();
    let mailer = mailer(options(), smtp(&server, MailSecurity::None));
    server.answers("550 reader@example.com is nobody");
    let error = mailer.send(&mail()).await.unwrap_err();
    assert_eq!(error, OutgoingError::MailRefused { status: 550 });
    assert!(!error.is_worth_repeating() && !error.to_string().contains("reader"));
}

#[tokio::test]
async fn a_mail_server_at_a_private_address_is_reached_only_where_that_is_allowed() {
    let server = MailServer::start(MailServerOptions::default()).await.unwrap();
    server.answers("451 reader@example.com waits");
    let to_home = || smtp(&server, MailSecurity::None);
    let error = mailer(options(), to_home()).send(&mail()).await.unwrap_err();
    assert!(error.is_worth_repeating() && !error.to_string().contains("reader"), "{error}");
    server.answers("250 taken");
    let nothing_allowed = OutgoingOptions { networks_allowed: Vec::new(), ..options() };
    let error = mailer(nothing_allowed, to_home()).send(&mail()).await.unwrap_err();
    assert!(matches!(error, OutgoingError::Refused { .. }), "{error}");
    assert_eq!(server.taken(), []);
    // What is allowed for mails is not allowed for anything else.
    let names = || Names::new(&[&["127.0.0.1"]]) as Arc<dyn Resolve>;
    let nothing_allowed = OutgoingOptions { networks_allowed: Vec::new(), ..options() };
    let guard = Guard::resolving_by(nothing_allowed, names()).unwrap();
    let of_mails = guard.allowing(&["127.0.0.1".parse().unwrap()]);
    Mailer::new(of_mails, to_home()).unwrap().send(&mail()).await.unwrap();
    assert_eq!(server.taken().len(), 1);
    assert!(!guard.allows([127, 0, 0, 1].into()));
}
