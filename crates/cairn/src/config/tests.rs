use super::{Config, DEFAULTS, Layers};

fn layers() -> Layers {
    Layers::new(DEFAULTS).unwrap()
}

fn from_environment(name: &str, value: &str) -> Result<Config, String> {
    let mut layers = layers();
    layers
        .add_environment([(name.to_owned(), value.to_owned())].into_iter())
        .and_then(|()| Config::from_layers(&layers))
        .map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = Config::from_layers(&layers()).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080");
    assert_eq!(config.sessions.timeout_minutes, 30);
}

#[test]
fn the_environment_sets_values_of_every_kind() {
    assert!(from_environment("CAIRN_SERVER__TEST_CLOCK", "true").unwrap().server.test_clock);
    let config = from_environment("CAIRN_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1").unwrap();
    assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8", "::1"]);
    // A variable of another program, or the bootstrap token: no section, so not a setting.
    assert!(from_environment("CAIRN_BOOTSTRAP_TOKEN", "x").is_ok());
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert_eq!(
        from_environment("CAIRN_SERVER__LISTN", "x").unwrap_err(),
        "unknown setting `server.listn` (environment CAIRN_SERVER__LISTN); did you mean `server.listen`?"
    );
}

#[test]
fn a_wrong_kind_or_value_names_key_and_origin() {
    let kind = from_environment("CAIRN_SESSIONS__TIMEOUT_MINUTES", "half an hour").unwrap_err();
    assert!(kind.starts_with("setting `sessions.timeout_minutes` (environment CAIRN_"), "{kind}");
    assert!(kind.contains("a whole number"), "{kind}");
    let range = from_environment("CAIRN_SESSIONS__TIMEOUT_MINUTES", "0").unwrap_err();
    assert!(range.contains("1 to 475"), "{range}");
    let word = from_environment("CAIRN_PRIVACY__POLICY", "whatever").unwrap_err();
    assert!(word.contains("privacy.policy") && word.contains("opt_in_strict"), "{word}");
}
