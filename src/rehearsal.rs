//! One rehearsal from the plan to the report: stage, carriers, coordinator and agents up; conduct; reconcile; write.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use voteburst_agent::Network;
use voteburst_burst::ledger::Ballot;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::stage::Stage;
use voteburst_burst::scenario::{Scenario, Scheme};
use voteburst_burst::verdict::Outcome;
use voteburst_coordinator::clock::Clock;
use voteburst_coordinator::conductor::{Ended, Timings};
use voteburst_coordinator::journal::{Evidence, RunDirectory};
use voteburst_coordinator::live::Watch;
use voteburst_coordinator::progress::Progress;
use voteburst_coordinator::record::ZoneSeen;
use voteburst_coordinator::report::diff::Side;
use voteburst_coordinator::report::{FrontFacts, Report, StageNotes};
use voteburst_coordinator::trust::{Exposed, Token, check_listener};
use voteburst_coordinator::{Conducted, Setup, WorldInfo, bind, conduct};
use voteburst_dns::authority::Authority;
use voteburst_publish::html::Detail;
use voteburst_stage::ballot::BallotRecord;
use voteburst_stage::counters::ProxyCounters;
use voteburst_stage::world::{World, WorldSpec};

use crate::carriers::Carriers;
use crate::cli::{Logging, Rehearse, View};
use crate::fleet::{self, Fleet};
use crate::preflight;
use crate::problem::Problem;
use crate::web::Web;
use crate::{baseline, say, view};

/// A scenario's stage, open for votes.
pub(crate) struct OpenStage {
    pub(crate) world: World,
    pub(crate) authority: Authority,
}

impl OpenStage {
    pub(crate) async fn open(scenario: &Scenario, stage: &Stage, run: u64) -> Result<Self, Problem> {
        let exe = executable()?;
        let spec = WorldSpec {
            stage,
            questions: &scenario.questions,
            viewers: scenario.audience.viewers,
            seed: scenario.seed,
            run,
            tls_host: (scenario.target.scheme == Scheme::Https).then_some(&*scenario.target.host),
            exe: &exe,
        };
        let world = World::open(spec).await.map_err(Problem::usage)?;
        let addresses = fronts(&world);
        let zone = stage.zone(&addresses, scenario.seed).map_err(Problem::usage)?;
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let authority = Authority::start_aliased(loopback, &scenario.dns.name, &stage.aliases, zone);
        Ok(Self { world, authority: authority.await.map_err(Problem::usage)? })
    }

    /// The addresses of its proxies, or of its load balancer.
    fn fronts(&self) -> Vec<IpAddr> {
        fronts(&self.world)
    }
}

fn fronts(world: &World) -> Vec<IpAddr> {
    world.addresses().iter().copied().map(IpAddr::V4).collect()
}

/// The executable that agents and stage workers are started from: this one.
pub(crate) fn executable() -> Result<PathBuf, Problem> {
    std::env::current_exe()
        .map_err(|error| Problem::usage(format!("cannot find my own executable: {error}; start voteburst by its full path")))
}

/// A number that no other run has.
pub(crate) fn run_number() -> u64 {
    // The standard library seeds this from the system's randomness for every call.
    RandomState::new().build_hasher().finish()
}

/// What a rehearsal is played with, besides its plan.
pub(crate) struct Stand<'a> {
    pub(crate) args: &'a Rehearse,
    /// How agents that are started here log.
    pub(crate) logging: Logging,
    pub(crate) text: &'a str,
    pub(crate) token: Option<Token>,
    pub(crate) interrupts: mpsc::UnboundedReceiver<()>,
    pub(crate) web: &'a Web,
    /// The earlier runs that this one is held against.
    pub(crate) baselines: &'a [Side],
    /// Takes an interrupt from the view.
    pub(crate) keys: mpsc::UnboundedSender<()>,
}

/// Reads the token and refuses a listener that anyone could reach without one.
pub(crate) fn token(args: &Rehearse) -> Result<Option<Token>, Problem> {
    let token = match &args.token_file {
        None => None,
        Some(file) => {
            let (token, Exposed(exposed)) = Token::read(file).map_err(Problem::usage)?;
            if exposed {
                say::note(&format!("warning: {} can be read by others; `chmod 600` keeps the token secret", file.display()));
            }
            Some(token)
        }
    };
    check_listener(args.listen, token.as_ref()).map_err(Problem::usage)?;
    if args.listen.ip().is_unspecified() {
        return Err(Problem::usage(format!(
            "--listen: found {}, which names no address\n  needed: the address of this machine that agents reach, for their carriers listen there too\n  fix:    --listen 192.0.2.10:{}",
            args.listen,
            args.listen.port()
        )));
    }
    Ok(token)
}

/// Local agents would refuse to send a vote outside of their networks; better to say so before anything starts.
pub(crate) fn refuse_strangers(found: &[IpAddr], allow: &[Network]) -> Result<(), Problem> {
    let allowed = crate::agent::allowed(allow);
    let Some(stranger) = found.iter().find(|address| !allowed.allows(**address)) else { return Ok(()) };
    Err(Problem::usage(format!(
        "the name leads to {stranger}, where agents may not send votes\n  needed: addresses on the agents' allow-list, which is loopback unless told otherwise\n  fix:    --allow {stranger}/{} if that proxy is yours to rehearse on; a burst is an attack on anybody else's",
        if stranger.is_ipv4() { 32 } else { 128 }
    )))
}

/// A rehearsal on a name of another kind than production's proves nothing about the show. Forced, it goes on, and the report says so.
async fn refuse_other_kind(scenario: &Scenario, args: &Rehearse) -> Result<Option<String>, Problem> {
    let Some(production) = &scenario.dns.production_name else { return Ok(None) };
    let differences = crate::dns::compare_with_production(scenario, args.quiet).await?;
    if differences.is_empty() {
        return Ok(None);
    }
    let (name, production) = (scenario.dns.name.trim_end_matches('.'), production.trim_end_matches('.'));
    let found = format!("{name} is not of the same kind as {production}: {}", differences.join("; "));
    if args.force {
        return Ok(Some(found));
    }
    Err(Problem::usage(format!(
        "dns.production_name: {found}\n  needed: a rehearsal whose DNS is production's; see `voteburst dns {production} --against {name}`\n  fix:    choose the zone (stage.zone, stage.ttl) or the name that does what production does; --force plays it all the same"
    )))
}

/// What a rehearsal came to.
pub(crate) struct Played {
    pub(crate) report: Report,
    /// What its page shows beyond the report.
    pub(crate) detail: Detail,
    /// Whether all of it is on disk.
    pub(crate) kept: bool,
}

/// The outcome's code; a pass that could not be written down is nothing that anybody can look at later.
pub(crate) fn exit_code(outcome: Outcome, kept: bool) -> u8 {
    match outcome {
        Outcome::Pass if !kept => Outcome::Unknown.exit_code(),
        outcome => outcome.exit_code(),
    }
}

/// Plays one rehearsal and leaves everything in `dir`.
///
/// # Errors
/// Usage errors before anything is started; unknown when there is no result at all.
pub(crate) async fn play(plan: Plan, dir: &Path, stand: Stand<'_>) -> Result<Played, Problem> {
    let ours = !dir.exists();
    let new_parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()).map(Path::to_owned);
    let played = play_in(plan, dir, stand).await;
    if ours && played.as_ref().is_err_and(Problem::is_usage) {
        // Nothing was started: what was made ready for it goes again. That it cannot be removed changes nothing.
        let _ = std::fs::remove_dir_all(dir);
        let _ = new_parent.map(std::fs::remove_dir);
    }
    played
}

async fn play_in(plan: Plan, dir: &Path, stand: Stand<'_>) -> Result<Played, Problem> {
    let started = crate::clock::timestamp();
    let args = stand.args;
    let agents = args.wait_for.map_or_else(|| fleet::size(&plan, args.agents), Ok)?;
    let odd = refuse_other_kind(&plan.scenario, args).await?;
    let directory = RunDirectory::create(dir).map_err(Problem::usage)?;
    directory.write_plan(stand.text, &plan).map_err(Problem::usage)?;
    // Nothing else happens yet that would have to go on beside it.
    let forced = tokio::task::block_in_place(|| preflight::before_run(&plan, agents, dir, args))?;
    let (plan, run) = (Arc::new(plan), run_number());
    let bound = bind(args.listen).await.map_err(Problem::usage)?;
    let stage = match &plan.scenario.stage {
        Some(stage) => Some(OpenStage::open(&plan.scenario, stage, run).await?),
        None => None,
    };
    let authority = stage.as_ref().map(|stage| stage.authority.address());
    let probed = Carriers::probe(&plan.scenario, authority).await?;
    let seen = crate::dns::seen_before_run(&plan.scenario, args.quiet).await?;
    let named = seen.iter().flat_map(|picture| &picture.addresses).map(|seen| seen.address);
    let usable = named.filter(|address| address.is_ipv4() || plan.scenario.dns.ipv6);
    let found: Vec<_> = BTreeSet::from_iter(probed.into_iter().chain(usable)).into_iter().collect();
    if args.wait_for.is_none() {
        refuse_strangers(&found, &args.allow)?;
    }
    let carriers = Carriers::start(&plan.scenario, authority, args.listen.ip()).await?;
    let local = match args.wait_for {
        Some(_) => None,
        None => Some(Fleet::start(agents, bound.address, &stand, &executable()?)?),
    };
    let (progress, events) = mpsc::unbounded_channel();
    let (lines, shown) = mpsc::unbounded_channel();
    let fronts = stage.as_ref().map_or_else(|| found.clone(), OpenStage::fronts);
    let (live, watched) = stand.web.follow(fronts);
    let shown = show(args, shown, stand.keys, &live);
    let world = world(&plan, &carriers, stage.as_ref());
    let setup = Setup {
        plan: Arc::clone(&plan),
        run,
        agents,
        world,
        token: stand.token,
        timings: Timings::of(&plan),
        force: args.force,
        progress,
        live: Some(live),
    };
    let conducted = conduct(bound, setup, stand.interrupts, Clock::of_this_process());
    let followed = follow(events, lines, stage.as_ref().map(|stage| &stage.authority));
    let mut conducted = tokio::join!(conducted, followed).0.map_err(Problem::unknown)?;
    if let Some(watched) = watched {
        // It ends with the run, once it has seen the last value.
        let _ = watched.await;
    }
    conducted.forced.extend(forced.into_iter().chain(odd));
    if let Some(local) = local {
        local.stop().await;
    }
    // The lines end with the run; what is left of them is shown before the result.
    let _ = tokio::time::timeout(Duration::from_secs(2), shown).await;
    let counted = match stage {
        Some(stage) => stage.close(dir, &conducted).await.map_err(|problem| without_ballots(&mut conducted, &problem)).ok(),
        None => None,
    };
    let carriers = carriers.stop().await;
    let (stage, ballots) = counted.map(|counted| (serde_json::to_value(counted.notes).ok(), counted.ballots)).unzip();
    let mut record = conducted.record(&plan, run, &started, stage.flatten(), Some(carriers));
    if plan.scenario.stage.is_none() {
        record.fronts = found;
        record.zone_seen = seen.and_then(|picture| picture.zone(0).ok()).as_ref().map(ZoneSeen::from);
    }
    let evidence = Evidence::new(record, plan, conducted.snapshots, ballots);
    Ok(write(&directory, stand.web, baseline::against(stand.baselines, dir, evidence)))
}

fn world(plan: &Plan, carriers: &Carriers, stage: Option<&OpenStage>) -> WorldInfo {
    WorldInfo {
        carriers: carriers.addresses.clone(),
        recursion_desired: carriers.recursion_desired,
        port: stage.map_or(plan.scenario.target.port, |stage| stage.world.port()),
        sources: plan.scenario.agents.sources.clone(),
        authority: stage.and_then(|stage| stage.world.authority()).unwrap_or_default().to_vec(),
    }
}

/// Shows the run as `--view` and the terminal have it: on the view, which reads what `live` is given, or in lines.
fn show(
    args: &Rehearse,
    progress: mpsc::UnboundedReceiver<Progress>,
    interrupts: mpsc::UnboundedSender<()>,
    live: &Watch,
) -> JoinHandle<()> {
    if args.quiet || args.view == View::Lines || !view::possible() {
        return say::progress(progress, args.quiet);
    }
    view::start(view::Feed { progress, live: live.to.subscribe(), interrupts })
}

/// Passes progress on to the lines, and tells the zone when T0 is, by which its schedule goes.
async fn follow(
    mut events: mpsc::UnboundedReceiver<Progress>,
    lines: mpsc::UnboundedSender<Progress>,
    authority: Option<&Authority>,
) {
    while let Some(event) = events.recv().await {
        if let (Progress::Committed { t0_in }, Some(authority)) = (&event, authority) {
            authority.set_t0_in(*t0_in);
        }
        // Nobody need be there to read the lines.
        let _ = lines.send(event);
    }
}

/// The burst was played, but what the ballot box counted is lost: the rest is kept and shown as the part that it is.
fn without_ballots(conducted: &mut Conducted, problem: &Problem) {
    say::error(problem);
    if conducted.ended == Ended::Complete {
        conducted.ended = Ended::Partial { reason: "what the ballot box counted is lost".into() };
    }
}

/// What a stage left.
struct Counted {
    notes: StageNotes,
    ballots: Vec<Ballot>,
}

impl OpenStage {
    /// Takes the stage down and puts its ballots on the fleet's clock.
    async fn close(self, dir: &Path, conducted: &Conducted) -> Result<Counted, Problem> {
        let result = self.world.close(dir).await.map_err(Problem::unknown)?;
        self.authority.shutdown().await;
        let t0 = conducted.t0_kernel_ns.unwrap_or(i64::MAX);
        let ballot = |record: &BallotRecord| Ballot {
            ticket: record.ticket,
            question: record.question,
            choice: record.choice,
            receipts: record.receipts,
            counted: record.counted,
            first_counted_ns: i64::try_from(record.first_counted_ns).unwrap_or(i64::MAX).saturating_sub(t0),
        };
        let fronts = result.proxies.iter().map(|proxy| (proxy.address.ip(), front(proxy))).collect();
        let accept_pauses = result.proxies.iter().map(|proxy| proxy.accept_pauses).sum();
        Ok(Counted {
            notes: StageNotes { fronts, abandoned: result.abandoned, accept_pauses },
            ballots: result.ballots.iter().map(ballot).collect(),
        })
    }
}

fn front(proxy: &ProxyCounters) -> FrontFacts {
    FrontFacts {
        conn_tot: proxy.conn_tot,
        conn_peak: proxy.conn_peak.into(),
        req_tot: proxy.req_tot,
        hrsp_2xx: proxy.hrsp_2xx,
        hrsp_4xx: proxy.hrsp_4xx,
        hrsp_5xx: proxy.hrsp_5xx,
        queue_peak: proxy.queue_peak.into(),
        queue_timeouts: proxy.queue_timeouts,
    }
}

/// Writes everything down, works out the report from it and passes it on. What cannot be written is said; the result is shown all the same.
fn write(directory: &RunDirectory, web: &Web, evidence: Evidence) -> Played {
    let kept = || {
        directory.write_record(&evidence.record)?;
        evidence.snapshots.iter().try_for_each(|snapshot| directory.write_snapshot(snapshot))?;
        evidence.ballots.as_ref().map_or(Ok(()), |ballots| directory.write_ballots(ballots))
    };
    let kept = kept();
    let (report, detail) = (Report::of_evidence(&evidence), Detail::of(&evidence));
    let kept = kept.and_then(|()| crate::report::write(directory.path(), &report, &evidence, &detail));
    if let Err(problem) = &kept {
        say::error(problem);
    }
    web.judged(&evidence.record, &report);
    Played { report, detail, kept: kept.is_ok() }
}
