//! What a machine can check of ARCHITECTURE.md: who imports whom, who opens sockets, who reads time, how long files are.

use std::fs;
use std::path::{Path, PathBuf};

/// The lines beyond which a file no longer fits the head; about 400 is the aim.
const MOST_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its path from the root.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

const CRATES: [&str; 8] = ["burst", "proto", "dns", "agent", "coordinator", "stage", "publish", "live"];

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let allowed: [(&str, &[&str]); 8] = [
        ("burst", &[]),
        ("proto", &["burst"]),
        ("dns", &["burst"]),
        ("agent", &["burst", "proto", "dns"]),
        ("coordinator", &["burst", "proto", "dns"]),
        ("stage", &["burst", "dns"]),
        ("publish", &["burst", "coordinator"]),
        ("live", &["burst", "coordinator", "publish"]),
    ];
    for (name, allowed) in allowed {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let needed = manifest.split("[dev-dependencies]").next().unwrap();
        for other in CRATES.iter().filter(|other| **other != name) {
            let imports = needed.contains(&format!("voteburst-{other}."));
            assert!(!imports || allowed.contains(other), "{name} imports {other}");
        }
    }
}

#[test]
fn only_one_file_opens_sockets_to_a_target() {
    for (path, text) in sources("agent/src") {
        let opens = ["TcpStream::connect", "TcpSocket", ".connect(&", "Type::STREAM"].iter().any(|word| text.contains(word));
        // preflight/machine.rs binds a source address to see whether it is there; it connects to nobody.
        let allowed =
            path.iter().any(|part| part == "dial") || path.ends_with("preflight/machine.rs") || path.ends_with("session/line.rs");
        assert!(!opens || allowed, "{} opens a socket", path.display());
    }
}

#[test]
fn time_is_read_in_one_file_per_crate() {
    for name in CRATES.into_iter().chain(["src"]) {
        for (path, text) in
            sources(name).into_iter().filter(|(path, _)| !path.iter().any(|part| part == "tests" || part == "tests.rs"))
        {
            let reads = [
                "Instant::now()",
                "SystemTime::now()",
                "clock_gettime(ClockId::Monotonic",
                "clock_gettime(ClockId::Realtime",
                "Timestamp::now()",
                "Zoned::now()",
            ];
            let read = reads.iter().find(|word| text.contains(**word));
            assert!(read.is_none() || path.ends_with("clock.rs"), "{} reads time: {read:?}", path.display());
        }
    }
}

#[test]
fn files_fit_the_head() {
    for name in CRATES.into_iter().chain(["src", "tests", "benches"]) {
        for (path, text) in sources(name) {
            let lines = text.lines().count();
            assert!(lines <= MOST_LINES, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn no_merge_left_its_marks() {
    let (mut folders, mut read) = (vec![root().to_owned()], 0);
    let (ours, theirs) = ("<".repeat(7) + " ", ">".repeat(7) + " ");
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // What git, cargo and rehearsals keep.
                folders.extend((!["target", ".git", "runs"].contains(&name.as_str())).then_some(path));
            } else if let Ok(text) = fs::read_to_string(&path) {
                read += 1;
                let mark = text.lines().position(|line| line.starts_with(&ours) || line.starts_with(&theirs));
                assert_eq!(mark.map(|line| line + 1), None, "{}", path.display());
            }
        }
    }
    assert!(read > 100, "{read} files read");
}
