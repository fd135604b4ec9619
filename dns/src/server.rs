//! A DNS server on one address, UDP and TCP on the same port, over hickory-server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, MessageType, Metadata, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use socket2::SockRef;
use tokio::net::{TcpListener, UdpSocket};

/// How long a TCP client may be silent.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers of one TCP client that may wait to be sent.
const TCP_WAITING: usize = 64;
/// How many ports that are free for TCP are tried until one is free for UDP too.
const PORT_ATTEMPTS: u32 = 20;
/// Bytes of queries that may wait to be read. A burst of phones arrives faster than one core reads, and Linux gives a socket
/// room for some 250 small packets by default; unbound.conf(5) advises the same size for busy servers (`so-rcvbuf: 4m`).
const RECEIVE_BUFFER: usize = 4 << 20;

/// The most bytes of a UDP packet with EDNS (RFC 6891): what passes most networks unfragmented (DNS flag day 2020).
pub(crate) const EDNS_BYTES: u16 = 1_232;

/// What one query is answered with.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) recursion: bool,
    pub(crate) answers: Vec<Record>,
    /// The SOA of a negative answer.
    pub(crate) authorities: Vec<Record>,
    /// Where the servers of an answer are.
    pub(crate) additionals: Vec<Record>,
}

/// The record of an address.
pub(crate) fn holding(owner: Name, ttl_s: u32, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(owner, ttl_s, data)
}

/// The record that tells for how many seconds a negative answer about `name` may be kept (RFC 2308, section 3).
pub(crate) fn negative(name: Name, ttl_s: u32) -> Record {
    let soa = SOA::new(name.clone(), name.clone(), 1, 3_600, 600, 86_400, ttl_s);
    Record::from_rdata(name, ttl_s, RData::SOA(soa))
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
        if let Err(error) = SockRef::from(&udp).set_recv_buffer_size(RECEIVE_BUFFER) {
            // Less room costs packets in bursts only, which askers send again.
            tracing::warn!(%error, "a DNS server keeps its small receive buffer");
        }
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

/// TCP first: connections of others that come and go hold many ports of TCP, hardly anybody holds one of UDP.
async fn bind_both(bind: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    for _ in 1..PORT_ATTEMPTS {
        let tcp = TcpListener::bind(bind).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) if bind.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    let tcp = TcpListener::bind(bind).await?;
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok((udp, tcp))
}

/// The EDNS of an answer: the asker's flags, at most as many bytes as it takes, and its network with scope 0, for our
/// answers hold for everybody (RFC 7871, section 7.2.1). Other options mean something that was not understood here.
fn answered(asked: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(asked.max_payload().min(EDNS_BYTES));
    *edns.flags_mut() = *asked.flags();
    if let Some(EdnsOption::Subnet(subnet)) = asked.option(EdnsCode::Subnet) {
        let told = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), 0);
        edns.options_mut().insert(EdnsOption::Subnet(told));
    }
    edns
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
        let edns = request.edns.as_ref().map(answered);
        if let Some(edns) = &edns {
            // Without an OPT in the answer UDP is limited to 512 bytes (RFC 6891, section 6.2.5).
            builder.edns(edns);
        }
        let message = builder.build(metadata, said.answers.iter(), said.authorities.iter(), &[], said.additionals.iter());
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
