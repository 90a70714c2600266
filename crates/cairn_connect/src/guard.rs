//! The guard: which addresses a name leads to, and whether they may be connected to.
//!
//! Guarantees: a name is resolved once for a connection, all of its addresses are checked, and what is handed on are those
//! addresses. A name of which a single address is refused is refused as a whole: such an answer is an attempt.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cairn_enrich::network::Prefix;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::timeout;

use crate::address::{AddressClass, class_of};
use crate::error::{OutgoingError, refused, unavailable};

/// Addresses of one name that are tried.
pub(crate) const ADDRESSES_MAX: usize = 4;

/// What going out is bounded by.
#[derive(Clone, Debug)]
pub struct OutgoingOptions {
    /// Networks that may be connected to though they are not of the open internet.
    pub networks_allowed: Vec<Prefix>,
    /// `http://` may be asked, too.
    pub plain_http_allowed: bool,
    /// Further certificate authorities, in PEM.
    pub authorities_pem: Vec<u8>,
    /// For a name to resolve and for a connection to be there, each.
    pub connect_time_max: Duration,
    /// For a whole request with its redirects, or a whole mail.
    pub time_max: Duration,
    /// Largest answer taken, bytes.
    pub answer_size_bytes_max: usize,
    /// Redirects that are followed.
    pub redirects_max: usize,
    /// Requests and mails under way at once; others wait.
    pub at_once_max: usize,
}

impl Default for OutgoingOptions {
    fn default() -> Self {
        OutgoingOptions {
            networks_allowed: Vec::new(),
            plain_http_allowed: false,
            authorities_pem: Vec::new(),
            connect_time_max: Duration::from_secs(5),
            time_max: Duration::from_secs(30),
            answer_size_bytes_max: 1 << 20,
            redirects_max: 3,
            at_once_max: 4,
        }
    }
}

/// Addresses of a name, on their way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All addresses of a host.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// The system's own resolver.
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect())
        })
    }
}

/// Decides where connections may go. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    pub(crate) options: Arc<OutgoingOptions>,
    pub(crate) roots: Arc<RootCertStore>,
    resolver: Arc<dyn Resolve>,
}

impl Guard {
    /// A guard with the system's resolver, and with the certificate authorities that browsers trust.
    pub fn new(options: OutgoingOptions) -> Result<Self, OutgoingError> {
        Self::resolving_by(options, Arc::new(SystemResolver))
    }

    /// A guard with a resolver of its own.
    pub fn resolving_by(
        options: OutgoingOptions,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, OutgoingError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in CertificateDer::pem_slice_iter(&options.authorities_pem) {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or(refused("a certificate authority of the configuration is broken"))?;
        }
        Ok(Guard { options: Arc::new(options), roots: Arc::new(roots), resolver })
    }

    /// The same guard, which lets these networks be connected to, too.
    pub fn allowing(&self, networks: &[Prefix]) -> Self {
        let mut options = OutgoingOptions::clone(&self.options);
        options.networks_allowed.extend_from_slice(networks);
        Guard { options: Arc::new(options), ..self.clone() }
    }

    /// Whether an address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        let allowed = || self.options.networks_allowed.iter().any(|block| block.contains(address));
        class_of(address) == AddressClass::Global || allowed()
    }

    /// The addresses of a host that a connection may be made to, in the resolver's order.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, OutgoingError> {
        let found = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let resolving = self.resolver.resolve(host);
                let found = timeout(self.options.connect_time_max, resolving).await;
                let found = found.map_err(|_| OutgoingError::TooSlow)?;
                found.map_err(|_| unavailable("its name has no address"))?
            }
        };
        // What is mapped is connected to as what it is.
        let found: Vec<IpAddr> = found.into_iter().map(|address| address.to_canonical()).collect();
        if !found.iter().all(|address| self.allows(*address)) {
            return Err(refused("an address of it is not of the open internet"));
        }
        if found.is_empty() {
            return Err(unavailable("its name has no address"));
        }
        let sockets = found.into_iter().map(|address| SocketAddr::new(address, port));
        Ok(sockets.take(ADDRESSES_MAX).collect())
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guard").finish_non_exhaustive()
    }
}
