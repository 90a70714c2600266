//! A client that sends exactly the bytes it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer, as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    pub fn outcome(&self) -> &str {
        self.header("cairn-outcome")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `{"error": {"message"}}`
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        // Long enough for any machine; a test that waits this long has failed.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client { stream, unread: Vec::new() }
    }

    /// Sends bytes; a server that has closed already is no failure here, its answer tells.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = self.stream.write_all(bytes);
        self
    }

    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", target, headers, b"")
    }

    pub fn post(&mut self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request("POST", "/e", headers, body)
    }

    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: collect.test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes()).send(body);
        self.answer(method == "HEAD")
    }

    /// Reads the next answer.
    pub fn answer(&mut self, is_head: bool) -> Answer {
        let end = self.upto(b"\r\n\r\n");
        let head = String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            return Answer { status, headers, body: self.chunks() };
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        let length = if is_head { 0 } else { length };
        while self.unread.len() < length {
            assert!(self.fill(), "the connection ended within a body");
        }
        Answer { status, headers, body: self.unread.drain(..length).collect() }
    }

    /// A body that comes in pieces of told sizes, up to the empty one.
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = self.upto(b"\r\n");
            let size = std::str::from_utf8(&self.unread[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            self.unread.drain(..end + 2);
            while self.unread.len() < size + 2 {
                assert!(self.fill(), "the connection ended within a piece");
            }
            let piece: Vec<u8> = self.unread.drain(..size + 2).take(size).collect();
            body.extend(piece);
            if size == 0 {
                return body;
            }
        }
    }

    fn upto(&mut self, mark: &[u8]) -> usize {
        loop {
            if let Some(end) = self.unread.windows(mark.len()).position(|part| part == mark) {
                return end;
            }
            assert!(self.fill(), "the connection ended early: {:?}", self.unread);
        }
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let size = self.stream.read(&mut buffer).unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..size]);
        size > 0
    }

    /// Waits for the server's end of the connection; what still comes is dropped.
    pub fn ends(&mut self) -> bool {
        while self.fill() {}
        true
    }

    /// Says that nothing more is sent.
    pub fn finish(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
}
