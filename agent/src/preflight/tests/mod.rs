//! Every line seen good, doubtful and bad on purpose, on machines that are nothing but a folder of text files.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use CheckStatus::{Bad, Good, Warning};

use super::*;

mod kernel;
mod memory_and_time;
mod ports;
mod red;

/// A machine that holds 300,000 viewers of 16 agents, and the stage with them: four cores, 24 GiB.
const SOUND: &[(&str, &str)] = &[
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-nr", "916\t0\t2466183\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/net/ipv4/tcp_mem", "287901\t383869\t575802\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "1024\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "2\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/net/sockstat", "sockets: used 20\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 294\nUDP: inuse 0 mem 0\n"),
    (
        "proc/meminfo",
        "MemTotal: 24683520 kB\nMemAvailable:   23636000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n",
    ),
    ("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\n"),
    ("proc/self/cgroup", "0::/\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
];

const AUDIENCE: Load =
    Load { viewers: 18_750, viewers_here: 300_000, peak_votes_per_s: 22_000, stage_here: true, tls: false, full_here: 0 };

/// /proc and /sys of a machine, in a folder that goes with the test.
struct Fake {
    root: PathBuf,
    process: Process,
    /// What /proc/stat holds after the first look.
    later: &'static str,
}

impl Fake {
    fn sound() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("voteburst-preflight-{}-{number}", std::process::id()));
        let sources = (1..=2).map(|host| (IpAddr::from([127, 64, 1, host]), None)).collect();
        let process = Process { open_files: Some(20_000), cores: 4, sources };
        let fake = Self { root, process, later: "cpu  200 0 200 1600 0 0 0 0 0 0\n" };
        SOUND.iter().fold(fake, |fake, (path, text)| fake.with(path, text))
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn machine(&self) -> Machine {
        let stat = self.root.join("proc/stat");
        Machine::read(&self.root, self.process.clone(), || {
            if stat.exists() {
                fs::write(&stat, self.later).unwrap();
            }
        })
    }

    fn checks(&self, load: &Load) -> Vec<Check> {
        judge(load, &self.machine())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // A folder that cannot be removed is the system's to clean up.
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[track_caller]
fn the(checks: &[Check], what: &str) -> Check {
    checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("no line `{what}` in {checks:#?}")).clone()
}

#[test]
fn on_a_sound_machine_every_line_is_good_and_stands_once() {
    let checks = Fake::sound().checks(&AUDIENCE);
    let odd: Vec<_> = checks.iter().filter(|check| check.status != Good).map(|check| check.what.as_str()).collect();
    // 18,750 viewers from two addresses, 22,000 votes of 90 µs on four cores.
    assert_eq!(odd, [""; 0], "{checks:#?}");
    let once: BTreeMap<_, _> = checks.iter().map(|check| (&check.what, ())).collect();
    assert_eq!((once.len(), checks.len()), (16, 16), "{checks:#?}");
    assert!(checks.iter().all(|check| check.found != NOT_TOLD && check.fix.is_empty() && check.effect.is_empty()));
}

#[test]
fn what_the_system_does_not_tell_is_said_and_never_bad() {
    let nowhere = Machine::read(Path::new("/proc/none"), Fake::sound().process.clone(), || ());
    let checks = judge(&AUDIENCE, &nowhere);
    let told: Vec<_> = checks.iter().filter(|check| check.found != NOT_TOLD).map(|check| check.what.as_str()).collect();
    assert_eq!(told, ["open files", "source ports", "source addresses", "cores", "cores, control group"]);
    assert!(checks.iter().all(|check| check.status == Good), "{checks:#?}");
}

#[test]
fn no_text_below_proc_makes_the_reading_fail() {
    for text in
        ["", "\n", "-1", "99999999999999999999999", "x y z", "\u{1f5f3}", "1 x", "cpu ", "TCP: mem", "0::", "::", "MemAvailable:"]
    {
        let fake = SOUND.iter().fold(Fake::sound(), |fake, (path, _)| fake.with(path, text));
        let checks = fake.checks(&AUDIENCE);
        assert!(checks.len() >= 16, "{text:?}: {checks:#?}");
        let bad: Vec<_> = checks.iter().filter(|check| check.status == Bad).collect();
        assert!(bad.is_empty(), "{text:?}: {bad:#?}");
    }
}

#[test]
fn nothing_is_bad_for_a_small_share_on_this_machine() {
    let load = Load { viewers: 100, viewers_here: 100, peak_votes_per_s: 100, stage_here: true, tls: false, full_here: 0 };
    let bad: Vec<_> = check(&load, &[]).into_iter().filter(|check| check.status == Bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
