//! Servers to ask and servers that misbehave.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query as Asked};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::task::JoinHandle;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;
use voteburst_dns::stub::{self, AskError, Kind, Query, Question, Reply};

/// The name that all tests vote at.
pub(crate) const NAME: &str = "vote.example";
/// Any free port of loopback.
pub(crate) const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Longer than any answer takes on a busy machine: a test that waits so long fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// For tests in which no answer comes.
pub(crate) const IMPATIENCE: Duration = Duration::from_millis(50);

/// The address of a zone's member.
pub(crate) fn proxy(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

/// A zone of so many healthy members of equal weight.
pub(crate) fn zone(policy: ZonePolicy, members: u8, ttl_s: u32) -> Zone {
    let member = |n| Member::new(format!("proxy-{n}"), proxy(n).into());
    // An hour: no test sees a second window.
    Zone::new(policy, (0..members).map(member).collect(), ttl_s, Duration::from_secs(3_600), 7).unwrap()
}

pub(crate) async fn authority(zone: Zone) -> Authority {
    Authority::start(ANYWHERE, NAME, zone).await.unwrap()
}

pub(crate) fn question(kind: Kind) -> Question {
    Question::new(NAME, kind).unwrap()
}

/// A query without recursion and without a client's network.
pub(crate) fn plain(id: u16, each: Duration, attempts: u32) -> Query {
    Query { id, each, attempts, recursion_desired: false, client_subnet: None }
}

/// Asks for the name once and waits for the answer.
pub(crate) async fn ask(server: SocketAddr, kind: Kind, id: u16) -> Result<Reply, AskError> {
    stub::ask(server, &question(kind), &plain(id, PATIENCE, 1)).await
}

/// Asks for the name once, of a server from which no answer may come.
pub(crate) async fn ask_briefly(server: SocketAddr) -> Result<Reply, AskError> {
    stub::ask(server, &question(Kind::A), &plain(1, IMPATIENCE, 1)).await
}

pub(crate) fn v4(addresses: &[Ipv4Addr]) -> Vec<IpAddr> {
    addresses.iter().copied().map(IpAddr::V4).collect()
}

pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(crate) fn query(owner: &str, kind: RecordType) -> Message {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.add_query(Asked::query(name(owner), kind));
    message
}

/// The answer to `query` with these records.
pub(crate) fn answering(query: &[u8], records: Vec<Record>) -> Message {
    let mut message = Message::from_vec(query).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.add_answers(records);
    message
}

pub(crate) fn a(owner: &str, ttl_s: u32, number: u8) -> Record {
    Record::from_rdata(name(owner), ttl_s, RData::A(A(proxy(number))))
}

pub(crate) fn cname(owner: &str, ttl_s: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl_s, RData::CNAME(CNAME(name(target))))
}

/// What makes an answer without addresses one that may be kept for so long.
pub(crate) fn soa(ttl_s: u32, minimum_s: u32) -> Record {
    Record::from_rdata(name(NAME), ttl_s, RData::SOA(SOA::new(name(NAME), name(NAME), 1, 1, 1, 1, minimum_s)))
}

/// The answer that asks for another one over TCP.
pub(crate) fn truncated(query: &[u8]) -> Vec<Vec<u8>> {
    let mut message = answering(query, vec![]);
    message.metadata.truncation = true;
    vec![message.to_vec().unwrap()]
}

/// Exchanges raw messages over UDP, without any of the stub's care.
pub(crate) async fn over_udp(server: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind(ANYWHERE).await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), server).await.unwrap();
    let mut buffer = [0; 4_096];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

/// Exchanges raw messages over TCP.
pub(crate) async fn over_tcp(server: SocketAddr, message: &Message) -> Message {
    let mut stream = TcpSocket::new_v4().unwrap().connect(server).await.unwrap();
    let bytes = message.to_vec().unwrap();
    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

/// A server that sends, for each query, whatever packets `script` makes of it. It ends when dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    queries: Arc<Mutex<Vec<Vec<u8>>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Fake {
    pub(crate) async fn start(script: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::on(UdpSocket::bind(ANYWHERE).await.unwrap(), script)
    }

    /// A server on this socket.
    pub(crate) fn on(socket: UdpSocket, script: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&queries);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                seen.lock().unwrap().push(buffer[..length].to_vec());
                for packet in script(&buffer[..length]) {
                    socket.send_to(&packet, peer).await.unwrap();
                }
            }
        });
        Self { address, queries, tasks: vec![task] }
    }

    /// A server that answers over TCP too, on the same port.
    pub(crate) async fn start_both(
        over_udp: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
        over_tcp: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
    ) -> Self {
        // TCP first: its ports are the scarcer ones on a machine that runs other tests.
        let listener = TcpListener::bind(ANYWHERE).await.unwrap();
        let mut both = Self::on(UdpSocket::bind(listener.local_addr().unwrap()).await.unwrap(), over_udp);
        both.tasks.push(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut query = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut query).await.unwrap();
                let answer = over_tcp(&query);
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        }));
        both
    }

    /// Lets a task live as long as this server.
    pub(crate) fn beside(mut self, task: JoinHandle<()>) -> Self {
        self.tasks.push(task);
        self
    }

    /// The packets that came, as they came.
    pub(crate) fn queries(&self) -> Vec<Vec<u8>> {
        self.queries.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An address of loopback at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    UdpSocket::bind(ANYWHERE).await.unwrap().local_addr().unwrap()
}
