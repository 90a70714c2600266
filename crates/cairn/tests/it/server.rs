//! The program under test, on a free port, in a directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, Response};

/// Owner rights for the test.
pub const TOKEN: &str = "bootstrap-token-of-the-tests-0123456789";

/// A person's browser: whoever sends nothing better is a bot, and reports leave bots out.
pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// What was erased or is too old leaves the files at once, and does not wait for others.
pub const WITHOUT_WAITING: [(&str, &str); 2] = [
    ("CAIRN_PRIVACY__ERASURE_REWRITE_HOURS_MAX", "0"),
    ("CAIRN_BACKUP__ERASURE_REWRITE_HOURS_MAX", "0"),
];

/// Longest wait for something to be said.
const LINE_TIME_MAX: Duration = Duration::from_secs(60);

/// A running server. Killed when dropped; `stop` ends it politely.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    directory: Directory,
    said: Arc<Said>,
}

/// What the program said on standard error.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

enum Directory {
    Own(TempDir),
    Shared(PathBuf),
}

impl Server {
    /// Starts on an empty directory.
    pub fn start(settings: &[(&str, &str)]) -> Server {
        let directory = TempDir::new().unwrap();
        let (child, address, said) = spawn("serve", directory.path(), settings).unwrap();
        Server { child, address, directory: Directory::Own(directory), said }
    }

    /// Starts the demonstration on an empty directory.
    pub fn demo() -> Server {
        let directory = TempDir::new().unwrap();
        let (child, address, said) = spawn("demo", directory.path(), &[]).unwrap();
        Server { child, address, directory: Directory::Own(directory), said }
    }

    /// Starts on a directory that outlives the server; says why it would not start.
    pub fn start_in(directory: &Path, settings: &[(&str, &str)]) -> Result<Server, String> {
        Server::start_under(&[], directory, settings)
    }

    /// The same by another program, as `["nice", "-n", "5"]`, which becomes the server.
    pub fn start_under(
        program: &[&str],
        directory: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Server, String> {
        let (child, address, said) = spawn_under(program, "serve", directory, settings)?;
        Ok(Server { child, address, directory: Directory::Shared(directory.to_owned()), said })
    }

    /// All that it said on standard error so far.
    pub fn said(&self) -> String {
        self.said.lines.lock().unwrap().join("\n")
    }

    /// Where its files are.
    pub fn data(&self) -> &Path {
        match &self.directory {
            Directory::Own(directory) => directory.path(),
            Directory::Shared(path) => path,
        }
    }

    /// Process id, for looking at it from outside.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// The first line on standard error with this text; waits for it.
    pub fn line_with(&self, text: &str) -> String {
        let lines = self.said.lines.lock().unwrap();
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(text));
        let wait = self.said.more.wait_timeout_while(lines, LINE_TIME_MAX, missing);
        let (lines, _) = wait.unwrap();
        let found = lines.iter().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("the program never said {text:?}")).clone()
    }

    /// One call of the API as owner.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Response {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.client().send(method, path, &headers, &body).unwrap()
    }

    /// A site with these privacy settings and one web pixel: the site's id and the pixel's key.
    pub fn site(&self, domain: &str, privacy: &Value) -> (String, String) {
        let site = json!({"name": domain, "domain": domain, "timezone": "UTC", "privacy": privacy});
        let site = self.api("POST", "/api/v1/sites", &site);
        assert_eq!(site.status, 201, "{}", site.text());
        let id = site.json()["id"].as_str().unwrap().to_owned();
        let pixel = json!({"name": "Pages", "kind": "web"});
        let pixel = self.api("POST", &format!("/api/v1/sites/{id}/pixels"), &pixel);
        assert_eq!(pixel.status, 201, "{}", pixel.text());
        (id, pixel.json()["key"].as_str().unwrap().to_owned())
    }

    /// The one row of a question without dimensions.
    pub fn totals(&self, site: &str, metrics: &[&str]) -> Vec<i64> {
        let question = json!({"site_id": site, "metrics": metrics, "date_range": "all",
                              "filters": [["is", "visit:bot", ["true", "false"]]]});
        let answer = self.api("POST", "/api/v2/query", &question);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let row = &answer.json()["results"][0]["metrics"];
        row.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
    }

    /// Outcome counts of a site since a day ago; the server answers when all acknowledged hits are in.
    pub fn outcomes(&self, site: &str) -> Value {
        let path = format!("/api/v1/sites/{site}/outcomes");
        let answer = self.api("GET", &path, &Value::Null);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Spawned = (Child, SocketAddr, Arc<Said>);

fn spawn(command: &str, directory: &Path, settings: &[(&str, &str)]) -> Result<Spawned, String> {
    spawn_under(&[], command, directory, settings)
}

fn spawn_under(
    program: &[&str],
    command: &str,
    directory: &Path,
    settings: &[(&str, &str)],
) -> Result<Spawned, String> {
    let words = [program, &[env!("CARGO_BIN_EXE_cairn")]].concat();
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .args([command, "--listen", "127.0.0.1:0", "--data"])
        .arg(directory)
        .env("CAIRN_BOOTSTRAP_TOKEN", TOKEN)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut errors = child.stderr.take().unwrap();
    let mut first = String::new();
    output.read_line(&mut first).map_err(|error| error.to_string())?;
    let address =
        first.trim().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
    let Some(address) = address else {
        let mut said = String::new();
        let _ = errors.read_to_string(&mut said);
        let _ = child.wait();
        return Err(said);
    };
    // Pipes must not fill up: what is said later is shown with the test's own output.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    let said = Arc::new(Said::default());
    let heard = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            println!("server: {line}");
            heard.lines.lock().unwrap().push(line);
            heard.more.notify_all();
        }
    });
    Ok((child, address, said))
}
