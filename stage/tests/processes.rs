//! Stages made of real processes: this executable is test, worker and dying parent in turn.
//!
//! Every case runs in a process of its own, so that each can have its own limit of open files.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "only tests use it")]

mod support;

use std::env;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::{Client, PATIENCE, RUN, cast_all, statuses};
use tokio::net::TcpStream;
use voteburst_burst::scenario::stage::{BallotRule, ServiceTime, Stage};
use voteburst_burst::scenario::{Choice, Question};
use voteburst_burst::schedule::Shape;
use voteburst_burst::zone::ZonePolicy;
use voteburst_stage::error::StageError;
use voteburst_stage::worker;
use voteburst_stage::world::{World, WorldSpec};

/// Name, limit of open files (0: as it is), and what is to be seen.
const CASES: &[(&str, u32, fn())] = &[
    ("votes_on_several_workers_make_one_ballot_box", 400, votes_on_several_workers_make_one_ballot_box),
    ("one_worker_holds_all_proxies_if_all_viewers_fit_into_it", 400, one_worker_holds_all_proxies_if_all_viewers_fit_into_it),
    ("a_file_limit_too_low_is_refused_with_the_number_that_fits", 93, a_file_limit_too_low_is_refused_with_the_number_that_fits),
    ("the_viewers_said_to_fit_do_fit", 75, the_viewers_said_to_fit_do_fit),
    ("workers_that_share_a_proxy_keep_one_connection_limit", 200, workers_that_share_a_proxy_keep_one_connection_limit),
    ("workers_that_share_a_proxy_keep_one_limit_per_web_server", 200, workers_that_share_a_proxy_keep_one_limit_per_web_server),
    ("without_descriptors_accepting_pauses_and_nobody_is_lost", 0, without_descriptors_accepting_pauses_and_nobody_is_lost),
    ("an_idle_connection_costs_at_most_three_kibibytes", 0, an_idle_connection_costs_at_most_three_kibibytes),
    ("the_death_of_the_parent_ends_its_workers", 0, the_death_of_the_parent_ends_its_workers),
    ("dropping_the_world_ends_its_workers", 0, dropping_the_world_ends_its_workers),
    ("a_worker_that_died_is_named", 0, a_worker_that_died_is_named),
    ("what_is_no_stage_worker_is_refused", 0, what_is_no_stage_worker_is_refused),
    (
        "counters_that_nobody_waited_for_do_not_answer_the_next_question",
        0,
        counters_that_nobody_waited_for_do_not_answer_the_next_question,
    ),
    ("two_worlds_of_one_run_stand_side_by_side", 0, two_worlds_of_one_run_stand_side_by_side),
    ("ballots_that_cannot_be_written_are_an_error", 0, ballots_that_cannot_be_written_are_an_error),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("stage-worker") => ExitCode::from(u8::from(worker::main().is_err())),
        Some("hold") => hold(),
        Some("case") => {
            let case = CASES.iter().find(|(name, ..)| arguments.get(1).is_some_and(|wanted| wanted == name)).unwrap();
            case.2();
            ExitCode::SUCCESS
        }
        Some("--list") => ExitCode::SUCCESS,
        filter => run_all(filter.filter(|filter| !filter.starts_with('-')).unwrap_or_default()),
    }
}

fn run_all(filter: &str) -> ExitCode {
    let mut failed = 0;
    for (name, files, _) in CASES.iter().filter(|(name, ..)| name.contains(filter)) {
        let limit = if *files == 0 { String::new() } else { format!("ulimit -n {files} && ") };
        let script = format!("{limit}exec \"$0\" case {name}");
        let status = Command::new("sh").arg("-c").arg(script).arg(own_exe()).status().unwrap();
        println!("test {name} ... {}", if status.success() { "ok" } else { "FAILED" });
        failed += u32::from(!status.success());
    }
    println!("{failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

fn own_exe() -> PathBuf {
    env::current_exe().unwrap()
}

fn stage(proxies: u16, connection_limit: u32) -> Stage {
    Stage {
        zone: ZonePolicy::Multivalue,
        ttl_s: 5,
        window: Duration::from_secs(5),
        weights: Vec::new(),
        proxies,
        lb_nodes: 2,
        connection_limit,
        web_servers: 2,
        web_server_coefficient: 40,
        queue_timeout: Duration::from_secs(1),
        keep_alive_timeout: Duration::from_secs(30),
        service_time: ServiceTime::Constant { mean: Duration::ZERO },
        ballot_box: BallotRule::OncePerBallot,
        aliases: Vec::new(),
        changes: Vec::new(),
        precedence: false,
    }
}

async fn open(stage: &Stage, viewers: u32, exe: &Path) -> Result<World, StageError> {
    let choice = |id: &str| Choice { id: id.to_owned(), share: 0.5 };
    let questions = [Question {
        id: "final".to_owned(),
        opens_at: Duration::ZERO,
        window: Duration::from_secs(1),
        grace: Duration::ZERO,
        arrivals: Shape::AllAtOnce,
        turnout: 1.0,
        choices: vec![choice("anna"), choice("ben")],
    }];
    World::open(WorldSpec { stage, questions: &questions, viewers, seed: 1, run: RUN, tls_host: None, exe }).await
}

fn front(world: &World, number: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(world.addresses()[number]), world.port())
}

#[expect(clippy::disallowed_methods, reason = "a test's client is no target of the agent")]
async fn refused(address: SocketAddr) {
    for _ in 0..PATIENCE.as_millis() / 5 {
        if TcpStream::connect(address).await.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
            return;
        }
        // The end of a process that is nobody's child here announces itself by nothing else.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{address} still accepts");
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// An executable that does `first` and then is this one.
fn wrapper(dir: &Path, first: &str) -> PathBuf {
    let path = dir.join("wrapper");
    fs::write(&path, format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", own_exe().display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Opens a world, says where, and never ends by itself.
fn hold() -> ExitCode {
    block_on(async {
        let world = open(&stage(1, 100), 10, &own_exe()).await.unwrap();
        println!("{}", front(&world, 0));
        std::future::pending().await
    });
    ExitCode::FAILURE
}

fn votes_on_several_workers_make_one_ballot_box() {
    block_on(async {
        let mut world = open(&stage(3, 300), 100_000, &own_exe()).await.unwrap();
        assert_eq!((world.workers(), world.addresses().len()), (3, 3), "400 files are enough for one such proxy each");
        for (number, ticket) in [(0, 1), (1, 1), (2, 2)] {
            let mut client = Client::connect(front(&world, number)).await;
            client.cast(ticket).await;
            assert_eq!(client.answer().await.0, 200);
        }
        let counters = world.counters().await.unwrap();
        let addresses: Vec<_> = (0..3).map(|number| front(&world, number)).collect();
        assert_eq!(counters.iter().map(|counters| counters.address).collect::<Vec<_>>(), addresses);
        let dir = tempfile::tempdir().unwrap();
        let result = world.close(dir.path()).await.unwrap();
        let seen: Vec<_> = result.ballots.iter().map(|ballot| (ballot.ticket, ballot.receipts, ballot.counted)).collect();
        assert_eq!(seen, [(1, 2, 1), (2, 1, 1)], "the repeat on another worker is a receipt, not a second vote");
        assert_eq!(result.proxies.iter().map(|proxy| proxy.hrsp_2xx).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(result.abandoned, 0);
        for address in addresses {
            refused(address).await;
        }
    });
}

fn one_worker_holds_all_proxies_if_all_viewers_fit_into_it() {
    block_on(async {
        let world = open(&stage(3, 300), 200, &own_exe()).await.unwrap();
        assert_eq!(world.workers(), 1);
    });
}

fn a_file_limit_too_low_is_refused_with_the_number_that_fits() {
    block_on(async {
        let error = open(&stage(4, 4000), 1000, &own_exe()).await.unwrap_err();
        assert!(matches!(error, StageError::OpenFiles { limit: 93, fits: 4, viewers: 1000, .. }), "{error}");
    });
}

fn the_viewers_said_to_fit_do_fit() {
    block_on(async {
        let StageError::OpenFiles { fits, .. } = open(&stage(1, 4000), 1000, &own_exe()).await.unwrap_err() else { panic!() };
        let fits = usize::try_from(fits).unwrap();
        let mut world = open(&stage(1, 4000), u32::try_from(fits).unwrap(), &own_exe()).await.unwrap();
        let mut clients = Client::connect_all(front(&world, 0), fits).await;
        cast_all(&mut clients, 0).await;
        assert_eq!(statuses(&mut clients).await, (fits, 0));
        let counters = world.counters().await.unwrap().swap_remove(0);
        assert_eq!((counters.conn_cur as usize, counters.accept_pauses), (fits, 0));
    });
}

/// With 200 files a process holds no 140 connections and all that it needs besides: two share the proxy.
fn shared(stage: Stage) -> Stage {
    Stage { connection_limit: 140, ..stage }
}

fn workers_that_share_a_proxy_keep_one_connection_limit() {
    block_on(async {
        let mut world = open(&shared(stage(1, 140)), 10_000, &own_exe()).await.unwrap();
        assert_eq!((world.workers(), world.addresses().len()), (2, 1));
        let mut clients = Client::connect_all(front(&world, 0), 160).await;
        cast_all(&mut clients, 0).await;
        let mut counters = world.counters().await.unwrap();
        while counters[0].hrsp_2xx < 140 {
            counters = world.counters().await.unwrap();
        }
        assert_eq!((counters.len(), counters[0].conn_tot, counters[0].conn_cur, counters[0].conn_peak), (1, 140, 140, 140));
        let (served, waiting): (Vec<_>, Vec<_>) =
            clients.into_iter().map(|mut client| (client.silent(), client)).partition(|it| !it.0);
        assert_eq!((served.len(), waiting.len()), (140, 20), "exactly as many as the limit says, over both workers");
        drop(served);
        let mut waiting: Vec<_> = waiting.into_iter().map(|(_, client)| client).collect();
        assert_eq!(statuses(&mut waiting).await, (20, 0), "who waited is served when others leave, at whichever worker");
        let dir = tempfile::tempdir().unwrap();
        let result = world.close(dir.path()).await.unwrap();
        assert_eq!((result.ballots.len(), result.proxies[0].conn_tot, result.proxies[0].conn_peak), (160, 160, 140));
        assert_eq!(result.proxies[0].accept_pauses, 0);
    });
}

fn workers_that_share_a_proxy_keep_one_limit_per_web_server() {
    block_on(async {
        let quick = Duration::from_millis(300);
        // 20 requests at a time, one every 300 ms: who is not fourth in a row at the latest waits longer than 1050 ms.
        let stage = Stage {
            web_server_coefficient: 10,
            service_time: ServiceTime::Constant { mean: quick },
            queue_timeout: Duration::from_millis(1_050),
            ..shared(stage(1, 140))
        };
        let mut world = open(&stage, 10_000, &own_exe()).await.unwrap();
        assert_eq!(world.workers(), 2);
        let mut clients = Client::connect_all(front(&world, 0), 140).await;
        cast_all(&mut clients, 0).await;
        let mut counters = world.counters().await.unwrap().swap_remove(0);
        while counters.hrsp_2xx == 0 {
            assert!(counters.in_flight.iter().all(|requests| *requests <= 10), "{counters:?}");
            counters = world.counters().await.unwrap().swap_remove(0);
        }
        assert_eq!(statuses(&mut clients).await, (80, 60), "as one queue before 20 slots: four rounds in time");
        let counters = world.counters().await.unwrap().swap_remove(0);
        assert_eq!((counters.in_flight, counters.queue_cur, counters.queue_timeouts), (vec![0, 0], 0, 60));
        assert_eq!(counters.in_flight_peak, [10, 10]);
    });
}

fn without_descriptors_accepting_pauses_and_nobody_is_lost() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let exe = wrapper(dir.path(), &format!("ulimit -n 40\necho $$ >'{}'", pid_file.display()));
        let mut world = open(&stage(1, 4000), 10, &exe).await.unwrap();
        let mut clients = Client::connect_all(front(&world, 0), 60).await;
        cast_all(&mut clients, 0).await;
        let mut counters = world.counters().await.unwrap().swap_remove(0);
        while counters.accept_pauses == 0 {
            counters = world.counters().await.unwrap().swap_remove(0);
        }
        let accepted = counters.conn_tot as usize;
        assert!((10..40).contains(&accepted), "{counters:?}");
        let before = cpu_ticks(&pid_file);
        // A span to measure, not an event to wait for.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let spent = cpu_ticks(&pid_file) - before;
        assert!(spent < 10, "{spent} hundredths of a second of CPU while accepting pauses");
        let counters = world.counters().await.unwrap().swap_remove(0);
        assert_eq!((counters.conn_tot as usize, counters.accept_pauses), (accepted, 1), "one pause, however long");
        // Each client's end makes room for one that still waits in the backlog.
        let mut stay = clients.split_off(clients.len() - accepted);
        for mut client in clients {
            assert_eq!(client.answer().await.0, 200);
        }
        assert_eq!(statuses(&mut stay).await.0, accepted, "they hold every descriptor there is while the ballots are written");
        let result = world.close(dir.path()).await.unwrap();
        assert_eq!((result.ballots.len(), result.proxies[0].conn_tot), (60, 60));
    });
}

fn an_idle_connection_costs_at_most_three_kibibytes() {
    const CONNECTIONS: u64 = 3000;
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let exe = wrapper(dir.path(), &format!("echo $$ >'{}'", pid_file.display()));
        let mut world = open(&stage(1, 4000), CONNECTIONS as u32, &exe).await.unwrap();
        // One vote beforehand: what a worker needs once is not a connection's cost.
        let mut first = Client::connect(front(&world, 0)).await;
        first.cast(CONNECTIONS).await;
        first.answer().await;
        let before = resident_kib(&pid_file);
        let mut clients = Client::connect_all(front(&world, 0), CONNECTIONS as usize).await;
        let ticks = cpu_ticks(&pid_file);
        cast_all(&mut clients, 0).await;
        assert_eq!(statuses(&mut clients).await.0 as u64, CONNECTIONS);
        let micros = (cpu_ticks(&pid_file) - ticks) * 10_000 / CONNECTIONS;
        assert_eq!(world.counters().await.unwrap()[0].conn_cur as u64, CONNECTIONS + 1);
        let bytes = (resident_kib(&pid_file) - before) * 1024 / CONNECTIONS;
        println!(
            "{bytes} bytes of worker memory per idle connection that voted once, its ballot included; {micros} us of CPU per vote"
        );
        assert!(bytes <= 3 * 1024, "{bytes} bytes");
    });
}

/// Resident memory of the process in KiB (proc_pid_status(5), VmRSS).
fn resident_kib(pid_file: &Path) -> u64 {
    let pid = fs::read_to_string(pid_file).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// User and system time of the process, in hundredths of a second (proc_pid_stat(5), fields 14 and 15).
fn cpu_ticks(pid_file: &Path) -> u64 {
    let pid = fs::read_to_string(pid_file).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn the_death_of_the_parent_ends_its_workers() {
    let mut parent = Command::new(own_exe()).arg("hold").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = Vec::new();
    let mut output = parent.stdout.take().unwrap();
    let mut byte = [0];
    while output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let address: SocketAddr = String::from_utf8(line).unwrap().parse().unwrap();
    block_on(async {
        drop(Client::connect(address).await);
        parent.kill().unwrap();
        parent.wait().unwrap();
        refused(address).await;
    });
}

fn dropping_the_world_ends_its_workers() {
    block_on(async {
        let world = open(&stage(2, 100), 10, &own_exe()).await.unwrap();
        let addresses = [front(&world, 0), front(&world, 1)];
        drop(world);
        for address in addresses {
            refused(address).await;
        }
    });
}

fn a_worker_that_died_is_named() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let exe = wrapper(dir.path(), &format!("echo $$ >'{}'", pid_file.display()));
        let mut world = open(&stage(1, 100), 10, &exe).await.unwrap();
        let pid = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        let error = world.counters().await.unwrap_err();
        assert!(matches!(error, StageError::Died { worker: 0, .. }), "{error}");
        assert!(error.to_string().contains("stage worker 0 died (signal: 9"), "{error}");
        assert!(matches!(world.close(dir.path()).await, Err(StageError::Died { worker: 0, .. })));
    });
}

fn what_is_no_stage_worker_is_refused() {
    block_on(async {
        let error = |exe: &'static str| async move { open(&stage(1, 100), 10, Path::new(exe)).await.unwrap_err() };
        assert!(matches!(error("/nowhere/voteburst").await, StageError::Spawn { .. }));
        assert!(matches!(error("/bin/false").await, StageError::Died { worker: 0, .. }));
        assert!(matches!(error("/bin/echo").await, StageError::Confused { worker: 0, .. }));
    });
}

fn counters_that_nobody_waited_for_do_not_answer_the_next_question() {
    block_on(async {
        let mut world = open(&stage(2, 100), 10, &own_exe()).await.unwrap();
        abandon_counters(&mut world).await;
        let _client = Client::connect(front(&world, 1)).await;
        let mut counters = world.counters().await.unwrap();
        assert_eq!(counters.len(), 2);
        while counters[1].conn_tot == 0 {
            counters = world.counters().await.unwrap();
        }
        abandon_counters(&mut world).await;
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(world.close(dir.path()).await.unwrap().proxies[1].conn_tot, 1);
    });
}

/// Asks for the counters and looks for the answer once.
async fn abandon_counters(world: &mut World) {
    tokio::select! {
        biased;
        counters = world.counters() => panic!("answered before the worker can have read the question: {counters:?}"),
        () = std::future::ready(()) => {}
    }
}

fn two_worlds_of_one_run_stand_side_by_side() {
    block_on(async {
        let first = open(&stage(4, 100), 10, &own_exe()).await.unwrap();
        let second = open(&stage(4, 100), 10, &own_exe()).await.unwrap();
        assert_ne!((first.addresses(), first.port()), (second.addresses(), second.port()));
        let _ = Client::connect(front(&first, 3)).await;
        let _ = Client::connect(front(&second, 3)).await;
    });
}

fn ballots_that_cannot_be_written_are_an_error() {
    block_on(async {
        let world = open(&stage(1, 100), 10, &own_exe()).await.unwrap();
        let error = world.close(Path::new("/nowhere/at/all")).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/stage-ballots-0.bin: cannot write"), "{error}");
    });
}
