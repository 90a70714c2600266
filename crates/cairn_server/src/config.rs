//! What the server needs to be told; the executable reads it from its configuration.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use cairn_model::limits::UPLOAD_PATIENCE_S;

/// A shortest `CAIRN_BOOTSTRAP_TOKEN`, in bytes.
pub const BOOTSTRAP_TOKEN_SIZE_BYTES_MIN: usize = 32;

/// A secret text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The text, for comparing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

/// One network, as `10.0.0.0/8`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Its first address.
    pub address: std::net::IpAddr,
    /// Leading bits that count.
    pub prefix_bits: u8,
}

/// Settings of the HTTP server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Origin under which visitors reach this server (`https://stats.example`), without a trailing slash; `None` =
    /// `admin_origin`, else that of each request.
    pub public_url: Option<String>,
    /// Origin of dashboard and API where it differs; they answer only there.
    pub admin_origin: Option<String>,
    /// Networks whose `X-Forwarded-For`, `Forwarded` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// The header `Cairn-Now` sets the time of a request (tests only).
    pub test_clock: bool,
    /// Bearer token with owner rights, from the environment.
    pub bootstrap_token: Option<Secret>,
    /// What new sites get.
    pub privacy_default: cairn_model::PrivacySettings,
    /// This is the demonstration: the key of the pixel in its shop.
    pub demo_pixel_key: Option<String>,
    /// Listener threads; 0 = one per core.
    pub threads: usize,
    /// Above this lag of the apply loop the server says that it is not ready, milliseconds.
    pub apply_lag_ms_max: i64,
    /// Days for which an exchange rate is used when no newer one is known.
    pub rate_age_days_max: u16,
    /// How long the body of an API call may keep the server waiting beyond the time of the slowest rate.
    pub upload_patience: Duration,
    /// How long the removal of a site is waited for before it is answered as still going on.
    pub removal_patience: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            admin_origin: None,
            trusted_proxies: Vec::new(),
            test_clock: false,
            bootstrap_token: None,
            privacy_default: cairn_model::PrivacySettings::default(),
            demo_pixel_key: None,
            threads: 0,
            apply_lag_ms_max: 10_000,
            rate_age_days_max: cairn_model::rates::RATE_AGE_DAYS_MAX,
            upload_patience: Duration::from_secs(UPLOAD_PATIENCE_S),
            removal_patience: Duration::from_secs(5),
        }
    }
}

impl ServerConfig {
    /// Origin that snippets name, as far as it is configured. Where only the dashboard's is, visitors get that one: it
    /// takes hits too, and of a request to the API it is the host, but the request may not tell the scheme.
    pub fn snippet_origin(&self) -> Option<&str> {
        self.public_url.as_deref().or(self.admin_origin.as_deref())
    }

    /// Origin under which visitors and recipients reach a server that listens at `address`.
    pub fn visitor_origin(&self, address: SocketAddr) -> String {
        self.snippet_origin().map_or_else(|| format!("http://{address}"), str::to_owned)
    }

    /// Origin under which the dashboard answers, for a server that listens at `address`.
    pub fn dashboard_origin(&self, address: SocketAddr) -> String {
        let configured = self.admin_origin.as_ref().or(self.public_url.as_ref());
        configured.cloned().unwrap_or_else(|| format!("http://{address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_where_they_are_answered() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4711));
        let (admin, public) = ("https://admin.example", "https://stats.example");
        for (admin_origin, public_url, snippet, dashboard) in [
            (None, None, None, "http://127.0.0.1:4711"),
            (None, Some(public), Some(public), public),
            (Some(admin), None, Some(admin), admin),
            (Some(admin), Some(public), Some(public), admin),
        ] {
            let config = ServerConfig {
                admin_origin: admin_origin.map(str::to_owned),
                public_url: public_url.map(str::to_owned),
                ..ServerConfig::default()
            };
            assert_eq!(config.snippet_origin(), snippet);
            assert_eq!(config.dashboard_origin(address), dashboard);
        }
    }
}
