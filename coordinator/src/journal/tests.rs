use std::os::unix::fs::symlink;

use voteburst_burst::outcome::Fate;
use voteburst_burst::scenario::Draft;

use voteburst_proto::message::Snapshot;

use super::*;
use crate::conductor::Ended;
use crate::record::StartSpread;

fn plan() -> Plan {
    let draft = Draft::read(include_str!("../../../scenarios/smoke.toml"), "smoke.toml").unwrap().with_viewers(20);
    Plan::new(draft.resolve(&|_| Err(io::ErrorKind::NotFound.into())).unwrap())
}

fn record_of(plan: &Plan) -> RunRecord {
    let lost = AgentRecord { last: false, ..record::tests::agent(1, None, 3) };
    RunRecord {
        schema: SCHEMA,
        name: "smoke".into(),
        started: "2026-01-01T00:00:00Z".into(),
        run: format!("{:016x}", 7),
        plan_hash: plan.hash.to_string(),
        viewers: 20,
        tickets: plan.tickets,
        seed: 7,
        zone: None,
        fronts: vec![[127, 0, 0, 9].into()],
        zone_seen: None,
        phases: Vec::new(),
        t0_ns: Some(5),
        t0_kernel_ns: Some(6),
        t0_second: Some(4),
        start: StartSpread::default(),
        agents: vec![record::tests::agent(0, Some(9), 3), lost],
        ended: Ended::Partial { reason: "interrupted while burst".into() },
        forced: Vec::new(),
        stage: None,
        carriers: None,
        baselines: Vec::new(),
    }
}

fn snapshot(agent: u32) -> Snapshot {
    let mut tally = Tally::default();
    let index = tally.index([127, 0, 0, 1].into());
    tally.proxy(index).second(4).accepted = 3 + agent;
    Snapshot {
        run: 7,
        agent,
        incarnation: 1,
        seq: 2,
        last: agent == 0,
        tally,
        ended: 1,
        connected: 0,
        connected_at_t0: None,
        first_send_lateness_ns: None,
        offset: voteburst_burst::clock::Offset { nanos: 0, bound_ns: 1 },
        cpu: std::time::Duration::ZERO,
        memory_bytes: 0,
        warnings: Vec::new(),
        watched: None,
        fates: if agent == 0 { vec![Fate::Accepted, Fate::Unknown] } else { Vec::new() },
    }
}

fn sealed(agent: u32) -> Sealed {
    Sealed::new(&snapshot(agent)).unwrap()
}

/// A whole run on disk, below a directory that goes away with the test.
fn written() -> (tempfile::TempDir, PathBuf, Plan) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("runs/one");
    let (run, plan) = (RunDirectory::create(&dir).unwrap(), plan());
    run.write_plan("# as written", &plan).unwrap();
    run.write_record(&record_of(&plan)).unwrap();
    run.write_snapshot(&sealed(1)).unwrap();
    run.write_snapshot(&sealed(0)).unwrap();
    (home, dir, plan)
}

const BALLOT: Ballot = Ballot { ticket: 3, question: 0, choice: 1, receipts: 1, counted: 1, first_counted_ns: 99 };

#[test]
fn everything_of_a_run_is_read_back_as_it_was_written() {
    let (_home, dir, plan) = written();
    RunDirectory { dir: dir.clone() }.write_ballots(&[BALLOT]).unwrap();
    let evidence = Evidence::load(&dir).unwrap();
    assert_eq!(evidence.record, record_of(&plan));
    assert_eq!(evidence.plan.hash, plan.hash);
    assert_eq!(evidence.snapshots, [sealed(0), sealed(1)]);
    assert_eq!(evidence.ballots, Some(vec![BALLOT]));
    assert_eq!(evidence.tally().total().total().accepted, 7);
    let shares = evidence.shares();
    assert_eq!((shares[0].fates.clone(), shares[1].fates.clone()), (Some(vec![Fate::Accepted, Fate::Unknown]), None));
    assert_eq!(shares[1].accepted_seen, 4);
    assert_eq!(fs::read_to_string(dir.join("scenario.toml")).unwrap(), "# as written");
}

#[test]
fn a_start_spread_that_only_a_false_agent_can_claim_is_judged_all_the_same() {
    let plan = plan();
    let start = StartSpread { spread_ns: u64::MAX, bound_ns: u64::MAX, agents: 2 };
    let record = RunRecord { start, ..record_of(&plan) };
    let report = crate::report::Report::of_evidence(&Evidence::new(record, Arc::new(plan), Vec::new(), None));
    assert!(report.verdict.reasons.iter().any(|reason| reason.code == "unsynchronised"), "{:?}", report.verdict.reasons);
}

#[test]
fn viewers_kept_out_by_their_own_machine_make_a_run_unknown() {
    let plan = plan();
    let watched = voteburst_burst::generator::Watched { local_limits: 3, not_allowed: 2, ..Default::default() };
    let short = Sealed::new(&Snapshot { connected_at_t0: Some(7), watched: Some(watched), ..snapshot(0) }).unwrap();
    let mut record = RunRecord { ended: Ended::Complete, ..record_of(&plan) };
    record.agents.truncate(1);
    record.agents[0].connected_at_t0 = Some(7);
    let report = crate::report::Report::of_evidence(&Evidence::new(record, Arc::new(plan), vec![short], None));
    let unknown = report.verdict.reasons.iter().find(|reason| reason.code == "local-limits").unwrap();
    assert!(unknown.text.starts_with("3 attempts failed for want of descriptors"), "{}", unknown.text);
    assert_eq!(report.verdict.outcome, voteburst_burst::verdict::Outcome::Unknown);
    let forbidden = report.verdict.reasons.iter().find(|reason| reason.code == "not-allowed").unwrap();
    assert!(forbidden.text.starts_with("2 attempts were not made"), "{}", forbidden.text);
}

#[test]
fn a_stage_that_could_accept_nobody_makes_a_run_unknown() {
    let plan = plan();
    let stage = Some(serde_json::json!({"fronts": {}, "abandoned": 0, "accept_pauses": 2}));
    let record = RunRecord { stage, ..record_of(&plan) };
    let report = crate::report::Report::of_evidence(&Evidence::new(record, Arc::new(plan), Vec::new(), Some(Vec::new())));
    assert!(report.verdict.reasons.iter().any(|reason| reason.code == "local-limits"), "{:?}", report.verdict.reasons);
}

#[test]
fn votes_that_fail_before_a_proxy_is_known_have_their_seconds_too() {
    let plan = plan();
    let mut lost = snapshot(0);
    lost.tally.unplaced.second(6).failed[voteburst_burst::outcome::Failure::Dns as usize] = 5;
    let evidence = Evidence::new(record_of(&plan), Arc::new(plan), vec![Sealed::new(&lost).unwrap()], None);
    let report = crate::report::Report::of_evidence(&evidence);
    assert_eq!(report.votes.failures["dns"], 5);
    assert_eq!(report.unplaced, [crate::report::UnplacedSecond { t_s: 2, failed: 5 }]);
}

#[test]
fn a_run_without_a_ballot_box_has_none() {
    let (_home, dir, _) = written();
    assert_eq!(Evidence::load(&dir).unwrap().ballots, None);
}

#[test]
fn a_stage_whose_ballots_are_missing_is_not_taken_for_a_run_without_a_ballot_box() {
    let (_home, dir, plan) = written();
    let stage = Some(serde_json::json!({"fronts": {}, "abandoned": 0}));
    let run = RunDirectory { dir: dir.clone() };
    run.write_record(&RunRecord { stage, ..record_of(&plan) }).unwrap();
    let problem = Evidence::load(&dir).unwrap_err().to_string();
    assert!(problem.contains("ballots.bin: cannot be read"), "{problem}");
    run.write_ballots(&[]).unwrap();
    assert_eq!(Evidence::load(&dir).unwrap().ballots, Some(Vec::new()));
}

#[test]
fn nothing_is_left_beside_the_files_and_a_later_record_replaces_the_earlier() {
    let (_home, dir, plan) = written();
    let later = RunRecord { name: "later".into(), ..record_of(&plan) };
    RunDirectory { dir: dir.clone() }.write_record(&later).unwrap();
    assert_eq!(Evidence::load(&dir).unwrap().record.name, "later");
    let names = fs::read_dir(&dir).unwrap().chain(fs::read_dir(dir.join(TALLIES)).unwrap());
    assert!(names.map(|entry| entry.unwrap().file_name()).all(|name| !name.to_string_lossy().ends_with(".tmp")));
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let (_home, dir, _) = written();
    assert!(matches!(RunDirectory::create(&dir), Err(JournalProblem::NotEmpty(_))));
    assert!(Evidence::load(&dir).is_ok());
}

#[test]
fn a_place_that_cannot_be_written_to_is_refused_before_anything_starts() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.join("run"), PathBuf::from("/proc/voteburst")] {
        let problem = RunDirectory::create(&dir).unwrap_err();
        assert!(matches!(problem, JournalProblem::NotWritable { .. }), "{problem}");
        assert!(problem.to_string().contains("give another --out"), "{problem}");
    }
}

#[test]
fn a_full_disk_names_the_file_and_what_is_lost() {
    let (_home, dir, _) = written();
    // Writing to this device fails as a full disk does.
    symlink("/dev/full", dir.join("ballots.bin.tmp")).unwrap();
    let problem = RunDirectory { dir: dir.clone() }.write_ballots(&[BALLOT]).unwrap_err();
    let JournalProblem::Lost { path, lost, source } = &problem else { panic!("{problem}") };
    assert_eq!((path, *lost), (&dir.join("ballots.bin"), "what the ballot box counted"));
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert!(!dir.join("ballots.bin").exists());
}

#[test]
fn each_file_that_is_missing_cut_short_or_changed_is_named() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 12] = [
        ("run.json", |path| fs::remove_file(path).unwrap()),
        ("run.json", |path| fs::write(path, "{").unwrap()),
        ("run.json", |path| fs::write(path, r#"{"schema": 99}"#).unwrap()),
        ("plan.toml", |path| fs::remove_file(path).unwrap()),
        ("plan.toml", |path| fs::write(path, "name = 1").unwrap()),
        ("plan.toml", |path| fs::write(path, fs::read_to_string(path).unwrap().replace("seed = 7", "seed = 8")).unwrap()),
        ("tallies", |path| fs::remove_dir_all(path).unwrap()),
        ("tallies/agent-1.snapshot", |path| fs::write(path, &fs::read(path).unwrap()[..20]).unwrap()),
        ("ballots.bin", |path| fs::write(path, "VBCOUNTS").unwrap()),
        ("tallies/agent-0.snapshot", |path| fs::remove_file(path).unwrap()),
        ("tallies/agent-0.snapshot", |path| {
            fs::write(path, Sealed::new(&Snapshot { run: 8, ..snapshot(0) }).unwrap().bytes()).unwrap()
        }),
        ("tallies", |path| {
            fs::copy(path.join("agent-1.snapshot"), path.join("agent-1 (copy).snapshot")).unwrap();
        }),
    ];
    for (name, spoil) in cases {
        let (_home, dir, _) = written();
        spoil(&dir.join(name));
        let problem = Evidence::load(&dir).unwrap_err().to_string();
        assert!(problem.contains(name), "{name}: {problem}");
    }
}
