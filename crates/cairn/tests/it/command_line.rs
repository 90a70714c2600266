//! The command line, and the page that is generated from its help.

use std::process::{Command, Output};

fn cairn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// docs/cli.md, as the program's own help says it.
fn reference() -> String {
    let mut page = String::from("# Command line\n\nGenerated from `cairn --help` by a test.\n");
    for command in [
        "",
        "serve",
        "demo",
        "check-config",
        "backup",
        "restore",
        "verify-receipts",
        "erase",
        "costs import",
        "rates import",
        "openapi",
        "version",
    ] {
        let mut arguments: Vec<&str> = command.split(' ').filter(|name| !name.is_empty()).collect();
        arguments.push("--help");
        let help = text(&cairn(&arguments).stdout);
        let name = format!("cairn {command}");
        page.push_str(&format!("\n## {}\n\n```\n{}\n```\n", name.trim(), help.trim()));
    }
    page
}

#[test]
fn the_reference_of_the_command_line_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    if std::env::var_os("CAIRN_UPDATE").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(page, reference(), "run this test with CAIRN_UPDATE=1");
}

#[test]
fn check_config_prints_every_setting_with_its_origin() {
    let output = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["check-config", "--listen", "127.0.0.1:9"])
        .env("CAIRN_SESSIONS__TIMEOUT_MINUTES", "45")
        .output()
        .unwrap();
    assert!(output.status.success());
    let printed = text(&output.stdout);
    for line in [
        "server.listen = \"127.0.0.1:9\"    # command line --listen",
        "sessions.timeout_minutes = 45    # environment CAIRN_SESSIONS__TIMEOUT_MINUTES",
        "server.test_clock = false    # default",
    ] {
        assert!(printed.lines().any(|found| found == line), "{line} is not in\n{printed}");
    }
}

#[test]
fn a_file_with_an_unknown_key_is_refused_by_name() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("cairn.toml");
    std::fs::write(&path, "[server]\nlisten_on = \"127.0.0.1:9\"\n").unwrap();
    let output = cairn(&["check-config", "--config", path.to_str().unwrap()]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("unknown setting `server.listen_on`"), "{said}");
    assert!(said.contains("did you mean `server.listen`?"), "{said}");
}

/// What `check-config` says of a configuration, or that nothing is wrong with it.
fn said_of(settings: &[(&str, &str)]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    let output = command.arg("check-config").envs(settings.iter().copied()).output().unwrap();
    let said = text(&output.stderr);
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(said) }
}

#[test]
fn check_config_refuses_ways_out_that_the_server_could_not_use() {
    let mail = [
        ("CAIRN_SMTP__HOST", "mail.example.com"),
        ("CAIRN_SMTP__FROM", "Cairn <stats@example.com>"),
        ("CAIRN_SMTP__USERNAME", "stats"),
        ("CAIRN_SMTP__PASSWORD", "correct-horse"),
    ];
    let printed = said_of(&mail).unwrap();
    assert!(!printed.contains("correct-horse"));
    for (name, value, wanted) in [
        ("CAIRN_SMTP__HOST", "smtp://mail.example.com", "`smtp.host`"),
        ("CAIRN_SMTP__HOST", "mail.example.com:587", "`smtp.host`"),
        ("CAIRN_SMTP__PORT", "0", "`smtp.port`"),
        ("CAIRN_SMTP__SECURITY", "ssl", "smtp.security"),
        ("CAIRN_SMTP__SECURITY", "none", "a password would be sent in the clear"),
        ("CAIRN_SMTP__FROM", "", "the sender is no mail address"),
        ("CAIRN_SMTP__USERNAME", "", "`smtp.username` and `smtp.password`"),
        ("CAIRN_SMTP__PASSWORD", "", "`smtp.username` and `smtp.password`"),
        ("CAIRN_OUTGOING__NETWORKS_ALLOWED", "10.0.0.0/33", "`outgoing.networks_allowed`"),
        ("CAIRN_SMTP__NETWORKS_ALLOWED", "mail.example.com", "`smtp.networks_allowed`"),
        ("CAIRN_OUTGOING__AUTHORITIES", "/nowhere/roots.pem", "`outgoing.authorities`"),
    ] {
        let said = said_of(&[&mail[..], &[(name, value)]].concat()).unwrap_err();
        assert!(said.contains(wanted), "{name}={value}: {said}");
        assert!(!said.contains("correct-horse"), "{said}");
    }
}
