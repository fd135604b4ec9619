//! A real nginx as the web servers behind the proxies: it counts votes by writing one line for each.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::{PATIENCE, Server, program};

/// How long a vote takes at a web server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    /// As long as nginx takes.
    Instant,
    /// One second: an answer of 450 bytes, of which nginx lets 250 out per second (ngx_http_core_module, `limit_rate`).
    OneSecond,
}

pub(crate) struct Nginx {
    server: Server,
    votes: PathBuf,
}

impl Nginx {
    /// Starts one process that is the web server at each of these addresses.
    pub(crate) fn start(dir: &Path, addresses: &[SocketAddrV4], service: Service) -> Self {
        let token = format!("ready-{}-{}", std::process::id(), addresses[0]);
        std::fs::write(dir.join("nginx.conf"), configuration(addresses, service, &token)).unwrap();
        let mut command = Command::new(program("nginx"));
        let server = Server::start(dir, "nginx", command.arg("-p").arg(dir).args(["-c", "nginx.conf", "-e", "stderr"]));
        let mut nginx = Self { server, votes: dir.join("votes.log") };
        for address in addresses {
            nginx.server.until("its own token", || get(*address, "/ready").filter(|answer| answer.contains(&token)));
        }
        nginx
    }

    /// Ends it, and returns the ballot id of each vote that it answered with 200, in the order of its answers.
    pub(crate) fn end(mut self) -> Vec<String> {
        let status = self.server.end_by(Signal::QUIT);
        assert!(status.success(), "nginx: {status}");
        let votes = std::fs::read_to_string(&self.votes).unwrap();
        votes.lines().map(ToOwned::to_owned).collect()
    }
}

fn configuration(addresses: &[SocketAddrV4], service: Service, token: &str) -> String {
    let listen: String = addresses.iter().map(|address| format!("    listen {address} backlog=4096;\n")).collect();
    let answer = match service {
        Service::Instant => "return 200 counted;".to_owned(),
        Service::OneSecond => format!("limit_rate 250; return 200 \"{:.<300}\";", ""),
    };
    // No master process: one process id to kill. Log lines are written at once, for `buffer` is not set. Idle connections
    // to proxies stay open, for a proxy that meets a closed one would have to send a vote twice.
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path tmp-a; proxy_temp_path tmp-b; fastcgi_temp_path tmp-c; uwsgi_temp_path tmp-d; scgi_temp_path tmp-e;
  keepalive_requests 1000000;
  keepalive_timeout 1h;
  log_format vote \"$http_x_ballot\";
  map \"$request_method $uri $status\" $counted {{ \"POST /vote 200\" 1; default 0; }}
  access_log votes.log vote if=$counted;
  server {{
{listen}    location = /vote {{ {answer} }}
    location = /ready {{ return 200 \"{token}\"; }}
    location / {{ return 404; }}
  }}
}}
"
    )
}

fn get(address: SocketAddrV4, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address.into(), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
