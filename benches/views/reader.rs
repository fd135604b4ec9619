//! Who reads the live page and its metrics: as little of HTTP as it takes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::play::kib;

/// Between two readings of the metrics.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The events that a page is fed with, on one connection until the end.
    Events,
    /// The metrics once a second, each on a connection of its own.
    Metrics,
}

/// A reader at work.
#[derive(Debug)]
pub(crate) struct Reader {
    reads: JoinHandle<Result<String, String>>,
    /// Its end is the reader's.
    stop: mpsc::Sender<()>,
}

impl Reader {
    /// Begins to read of the server at this address, as the command tells it.
    pub(crate) fn start(url: &str, wanted: Wanted) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let (stop, stopped) = mpsc::channel();
        let reads = thread::spawn(move || match wanted {
            Wanted::Events => events(&address),
            Wanted::Metrics => metrics(&address, &stopped),
        });
        Self { reads, stop }
    }

    /// What was read until the command ended.
    ///
    /// # Errors
    /// When nothing was.
    pub(crate) fn end(self) -> Result<String, String> {
        drop(self.stop);
        self.reads.join().unwrap_or_else(|_| Err("the reader failed".into()))
    }
}

fn get(address: &str, path: &str) -> std::io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n")?;
    Ok(BufReader::new(stream))
}

fn events(address: &str) -> Result<String, String> {
    let (mut events, mut bytes) = (0, 0);
    let reader = get(address, "/events").map_err(|error| error.to_string())?;
    for line in reader.lines().map_while(Result::ok) {
        bytes += line.len() + 1;
        events += u32::from(line == "event: news");
    }
    seen(events, "events", bytes)
}

fn metrics(address: &str, stopped: &mpsc::Receiver<()>) -> Result<String, String> {
    let (mut scrapes, mut bytes) = (0, 0);
    while stopped.recv_timeout(SCRAPE_EVERY) == Err(RecvTimeoutError::Timeout) {
        let mut text = String::new();
        // The command may have ended within this second.
        let read = get(address, "/metrics").and_then(|mut reader| reader.read_to_string(&mut text));
        if read.is_err() || !text.starts_with("HTTP/1.1 200") {
            break;
        }
        scrapes += 1;
        bytes += text.len();
    }
    seen(scrapes, "scrapes", bytes)
}

fn seen(count: u32, of: &str, bytes: usize) -> Result<String, String> {
    if count == 0 { Err(format!("no {of}")) } else { Ok(format!("{count} {of}, {}", kib(bytes))) }
}
