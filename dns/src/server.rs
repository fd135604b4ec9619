//! A DNS server on one address, UDP and TCP on the same port, over hickory-server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{MessageType, Metadata, ResponseCode};
use hickory_proto::rr::Record;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

/// How long a TCP client may be silent.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers of one TCP client that may wait to be sent.
const TCP_WAITING: usize = 64;
/// How often a port that is free for UDP may turn out to be taken for TCP.
const PORT_ATTEMPTS: u32 = 20;

/// What one query is answered with.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) recursion: bool,
    pub(crate) answers: Vec<Record>,
    /// The SOA of a negative answer.
    pub(crate) authorities: Vec<Record>,
}

/// Decides what a query is answered with.
pub(crate) trait Answers: Send + Sync + Unpin + 'static {
    /// The answer to a sound request with exactly one question.
    fn answer(&self, request: &Request) -> impl Future<Output = Said> + Send;
}

/// A running server. Ends when it is dropped.
pub(crate) struct Running<A: Answers> {
    server: Server<Handler<A>>,
    pub(crate) address: SocketAddr,
}

impl<A: Answers> Running<A> {
    /// Listens on `bind`; port 0 takes one that is free for both UDP and TCP.
    pub(crate) async fn start(bind: SocketAddr, answers: A) -> io::Result<Self> {
        let (udp, tcp) = bind_both(bind).await?;
        let address = udp.local_addr()?;
        let mut server = Server::new(Handler(answers));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_WAITING);
        Ok(Self { server, address })
    }

    pub(crate) async fn shutdown(mut self) {
        // A task that died is logged by the server itself; nothing of it is needed any more.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.server.shutdown_gracefully()).await;
    }
}

async fn bind_both(bind: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    for _ in 1..PORT_ATTEMPTS {
        let udp = UdpSocket::bind(bind).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if bind.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    let udp = UdpSocket::bind(bind).await?;
    let tcp = TcpListener::bind(udp.local_addr()?).await?;
    Ok((udp, tcp))
}

struct Handler<A>(A);

#[async_trait::async_trait]
impl<A: Answers> RequestHandler for Handler<A> {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut response: R) -> ResponseInfo {
        let sound = request.metadata.message_type == MessageType::Query && request.request_info().is_ok();
        let said = if sound { self.0.answer(request).await } else { Said { code: ResponseCode::FormErr, ..Said::default() } };
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = said.code;
        metadata.authoritative = said.authoritative;
        metadata.recursion_available = said.recursion;
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &request.edns {
            // Without an OPT in the answer UDP is limited to 512 bytes (RFC 6891, section 6.2.5).
            builder.edns(edns);
        }
        let message = builder.build(metadata, said.answers.iter(), &[], said.authorities.iter(), &[]);
        match response.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                // The asker is gone or out of reach; it will ask again or not.
                tracing::debug!(%error, "an answer could not be sent");
                ResponseInfo::from(hickory_proto::op::Header { metadata, counts: Default::default() })
            }
        }
    }
}
