//! Listening: one thread, one runtime and one socket per core; the collecting paths are answered
//! right here, everything else goes to the router.
//!
//! Guarantees: connections, heads, bodies and waiting times are bounded; a slow or broken client
//! costs nobody else anything. Stopping lets requests that have begun finish.

mod connection;
mod guarded;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::App;
use crate::collect::{Collector, Edge, RateLimit};
use connection::serve_connection;
use guarded::{ConnectionState, Patience};

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 4_096;
/// Connections over the limit that are still told so; more are closed at once.
const TURNED_AWAY_MAX: usize = 256;
/// Threads for blocking work, per listener thread.
const BLOCKING_THREADS_MAX: usize = 16;
/// Pause after the system refused a connection, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of the listener.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Listener threads; 0 = one per core.
    pub threads: usize,
    /// Open connections of all threads together.
    pub connections_max: usize,
    /// How often waiting times are looked at; times below are rounded up to it.
    pub tick: Duration,
    /// Longest time from the first byte of a request to its last.
    pub request_time_max: Duration,
    /// Longest time between two requests.
    pub idle_time_max: Duration,
    /// Longest time that a client takes nothing of an answer.
    pub stalled_time_max: Duration,
    /// How long requests may take to finish when the server stops.
    pub stop_time_max: Duration,
    /// Hits of one sender.
    pub rate_limit: RateLimit,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            threads: 0,
            connections_max: 8_192,
            tick: Duration::from_secs(1),
            request_time_max: Duration::from_secs(15),
            idle_time_max: Duration::from_secs(75),
            stalled_time_max: Duration::from_secs(60),
            stop_time_max: Duration::from_secs(10),
            rate_limit: RateLimit::default(),
        }
    }
}

impl ListenOptions {
    fn ticks(&self, time: Duration) -> u32 {
        let tick = self.tick.as_millis().max(1);
        u32::try_from(time.as_millis().div_ceil(tick)).unwrap_or(u32::MAX)
    }
}

/// A listening server. Dropping it stops it.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets begun requests finish, and returns when all threads ended.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a listener thread ended with a panic");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts listening. `router` answers everything that is not collection.
pub fn serve(
    app: Arc<App>,
    router: Router,
    bound: Bound,
    options: ListenOptions,
) -> io::Result<Server> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if options.threads == 0 { cores } else { options.threads };
    let Bound { socket, address } = bound;
    let mut sockets = vec![socket];
    for _ in 1..threads {
        sockets.push(bind(address)?);
    }
    let edge = Arc::new(Edge::new(app, options.rate_limit));
    edge.forget_erased();
    let (stop, stopping) = watch::channel(false);
    let open = Arc::new(AtomicUsize::new(0));
    let mut server = Server { address, stop, threads: Vec::new() };
    for (number, socket) in sockets.into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name(format!("cairn-blocking-{number}"))
            .build()?;
        let (edge, router, options) = (Arc::clone(&edge), router.clone(), options.clone());
        let (stopping, open) = (stopping.clone(), Arc::clone(&open));
        let run = move || {
            runtime.block_on(async move {
                match TcpListener::from_std(socket) {
                    Ok(listener) => {
                        let core = Core::new(edge, router, options, open);
                        Arc::new(core).run(listener, stopping).await;
                    }
                    Err(error) => tracing::error!(%error, "a socket cannot be listened on"),
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        };
        let thread = std::thread::Builder::new().name(format!("cairn-listen-{number}"));
        server.threads.push(thread.spawn(run)?);
    }
    Ok(server)
}

/// Where a server listens: taken before the server is made, which names its address in links.
pub struct Bound {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Takes an address; port 0 picks a free one. Whoever connects waits for the server.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        let socket = bind(address)?;
        Ok(Bound { address: socket.local_addr()?, socket })
    }

    /// The address, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A socket that shares its port with those of the other threads.
fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One listener thread.
struct Core {
    edge: Arc<Edge>,
    collector: Collector,
    router: Router,
    options: ListenOptions,
    /// Open connections of all threads.
    open: Arc<AtomicUsize>,
    /// Coarse time: read instead of the clock.
    tick: Arc<AtomicU32>,
    connections: Mutex<HashMap<u64, Arc<ConnectionState>>>,
    is_stopping: AtomicBool,
}

impl Core {
    fn new(
        edge: Arc<Edge>,
        router: Router,
        options: ListenOptions,
        open: Arc<AtomicUsize>,
    ) -> Self {
        Core {
            collector: Collector::new(Arc::clone(&edge)),
            edge,
            router,
            options,
            open,
            tick: Arc::default(),
            connections: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        }
    }

    async fn run(self: Arc<Self>, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let sweeper = tokio::spawn(Arc::clone(&self).sweep());
        let mut number = 0;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    number += 1;
                    self.welcome(stream, peer, number);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.finish().await;
        sweeper.abort();
    }

    fn welcome(self: &Arc<Self>, stream: tokio::net::TcpStream, peer: SocketAddr, number: u64) {
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        let is_over = open >= self.options.connections_max;
        if open >= self.options.connections_max + TURNED_AWAY_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let state = Arc::new(ConnectionState::new(self.tick.load(Ordering::Relaxed)));
        let place = Place { core: Arc::clone(self), number };
        self.connections().insert(number, Arc::clone(&state));
        tokio::spawn(async move {
            serve_connection(&place.core, stream, peer, state, is_over).await;
            drop(place);
        });
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<ConnectionState>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the coarse time, and ends connections that have used up theirs.
    async fn sweep(self: Arc<Self>) {
        let options = &self.options;
        let patience = Patience {
            head: options.ticks(options.request_time_max),
            idle: options.ticks(options.idle_time_max),
            stalled: options.ticks(options.stalled_time_max),
        };
        let mut interval = tokio::time::interval(options.tick);
        loop {
            interval.tick().await;
            let now = self.tick.fetch_add(1, Ordering::Relaxed) + 1;
            for state in self.connections().values() {
                if state.is_overdue(now, patience) {
                    state.expired.store(true, Ordering::Relaxed);
                    state.wake();
                }
            }
        }
    }

    /// Waits until begun requests are answered, but not for ever.
    async fn finish(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        let deadline = tokio::time::Instant::now() + self.options.stop_time_max;
        while tokio::time::Instant::now() < deadline {
            let mut waiting = 0;
            for state in self.connections().values() {
                waiting += 1;
                state.finishing.store(true, Ordering::Relaxed);
                state.wake();
            }
            if waiting == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tracing::warn!("requests were broken off: they took longer than the server may wait");
    }
}

/// A connection's place among the open ones.
struct Place {
    core: Arc<Core>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.core.connections().remove(&self.number);
        self.core.open.fetch_sub(1, Ordering::Relaxed);
    }
}
