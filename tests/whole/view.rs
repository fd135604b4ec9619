//! The live view in a real terminal, which is tmux: what stands on it, what keys and sizes do, and what is left behind.
//!
//! Nothing sleeps: each byte that the command writes wakes the test, which then looks at the screen.

use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::fixture::{LONGEST, skipped};
use crate::scenario::{Place, Scenario};

/// A terminal in which the command runs; it goes with the test.
struct Tmux {
    place: Place,
    /// One word for whatever was written.
    written: mpsc::Receiver<()>,
}

impl Tmux {
    /// Runs `voteburst run` with further words in a terminal of 80 × 24; `None` where there is no tmux, which is said.
    fn start(scenario: &Scenario, environment: &str, words: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "CI must look at the view in a real terminal: install tmux");
            skipped("no tmux is installed, so nobody looked at the view in a real terminal");
            return None;
        }
        let place = scenario.place();
        let (tell, written) = mpsc::channel();
        let tmux = Self { place, written };
        let pipe = tmux.place.path("written");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // The command begins when the pipe does, so that no byte is missed.
        let begin = "tmux wait-for begin";
        let exe = env!("CARGO_BIN_EXE_voteburst");
        let run = format!("{begin}; {environment} {exe} run scenario.toml --out run {words}; echo exit code $?; exec cat");
        let dir = tmux.place.path("");
        tmux.tell(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", dir.to_str().unwrap(), "cat"]);
        tmux.tell(&["set-option", "-g", "remain-on-exit", "on"]);
        tmux.tell(&["respawn-pane", "-k", "-c", dir.to_str().unwrap(), "sh", "-c", &run]);
        tmux.tell(&["pipe-pane", "-O", &format!("cat > '{}'", pipe.display())]);
        thread::spawn(move || {
            let mut from = File::open(pipe).unwrap();
            let mut bytes = [0; 4_096];
            while from.read(&mut bytes).is_ok_and(|read| read > 0) && tell.send(()).is_ok() {}
        });
        tmux.tell(&["wait-for", "-S", "begin"]);
        Some(tmux)
    }

    /// Lets tmux do something, on a server of this test's own, and gives what it says.
    fn tell(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        // A server of one's own, whatever terminal the tests run in.
        command.env_remove("TMUX").env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("COLORTERM");
        let output = command.arg("-u").arg("-S").arg(self.place.path("tmux")).args(words).output().unwrap();
        assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tell(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows this, and gives all of it.
    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.await_screen(text, |screen| screen.contains(text))
    }

    #[track_caller]
    fn await_screen(&self, what: &str, found: impl Fn(&str) -> bool) -> String {
        loop {
            let screen = self.screen();
            if found(&screen) {
                return screen;
            }
            if self.written.recv_timeout(LONGEST).is_err() {
                panic!("the screen never showed `{what}`:\n{}", self.screen());
            }
        }
    }

    /// Waits for the end, which must have this exit code, and gives the screen with all that scrolled away.
    #[track_caller]
    fn ends_with(&self, code: i32) -> String {
        let end = format!("exit code {code}\n");
        self.shows("exit code ");
        let left = self.tell(&["capture-pane", "-p", "-J", "-S", "-"]);
        assert!(left.contains(&end), "needed exit code {code}:\n{left}");
        left
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may be gone already.
        let mut command = Command::new("tmux");
        let _ = command.env_remove("TMUX").arg("-S").arg(self.place.path("tmux")).arg("kill-server").output();
    }
}

/// Keeps a screen for whoever wants to look at it, where `VOTEBURST_SCREENS` says.
fn keep(name: &str, screen: &str) {
    if let Some(dir) = std::env::var_os("VOTEBURST_SCREENS") {
        std::fs::write(std::path::Path::new(&dir).join(format!("{name}.txt")), screen).unwrap();
    }
}

/// Whether the bar of accepted votes has something in it.
fn has_accepted(screen: &str) -> bool {
    screen.contains("[burst]") && screen.lines().any(|line| line.starts_with("accepted █"))
}

#[test]
fn the_view_fits_any_terminal_and_q_ends_the_run_in_order() {
    let Some(tmux) = Tmux::start(&Scenario::small().window("60s"), "", "--agents 2") else { return };
    let doors = tmux.shows("viewers connected");
    assert!(doors.contains("[doors]") || doors.contains("[arming]") || doors.contains("[committed]"), "{doors}");
    let narrow = tmux.await_screen("an accepted vote", has_accepted);
    keep("burst-80x24", &narrow);
    for text in ["127.", "limit 2,000", "acc/s", "Agents  2 of 2 armed", "DNS", "q end in order"] {
        assert!(narrow.contains(text), "`{text}` is missing:\n{narrow}");
    }
    tmux.tell(&["resize-window", "-x", "160", "-y", "50"]);
    let wide = tmux.shows("Messages");
    keep("burst-160x50", &wide);
    assert!(wide.lines().any(|line| line.chars().count() > 130), "{wide}");
    tmux.tell(&["resize-window", "-x", "60", "-y", "15"]);
    let small = tmux.await_screen("the small view", |screen| screen.contains("[burst]") && !screen.contains("Messages"));
    keep("burst-60x15", &small);
    tmux.tell(&["send-keys", "q"]);
    let left = tmux.ends_with(3);
    keep("after-q", &left);

    for text in ["stopping: what there is will be written", "UNKNOWN", "interrupted while the burst was on", "kept in run"] {
        assert!(left.contains(text), "`{text}` is missing:\n{left}");
    }
    assert!(!left.contains("q end in order"), "the view is gone:\n{left}");
    assert!(tmux.place.read("run/report.json").contains("\"partial\""));
}

#[test]
fn without_colour_the_view_has_none_and_a_capital_q_abandons_the_run_at_once() {
    let Some(tmux) = Tmux::start(&Scenario::small().window("60s"), "NO_COLOR=1", "--agents 1") else { return };
    tmux.await_screen("an accepted vote", has_accepted);
    let escaped = tmux.tell(&["capture-pane", "-p", "-e"]);
    keep("burst-no-colour", &escaped);
    // Attributes such as bold have one digit, colours have two and more; 39 and 49 are the terminal's own.
    let codes = escaped.split("\u{1b}[").skip(1).filter_map(|part| part.split('m').next()).flat_map(|codes| codes.split(';'));
    let colours: Vec<_> = codes.filter(|code| code.len() > 1 && !["39", "49"].contains(code)).collect();
    assert_eq!(colours, [] as [&str; 0], "{escaped:?}");
    tmux.tell(&["send-keys", "Q"]);
    let left = tmux.ends_with(3);

    assert!(left.contains("abandoning") && left.contains("UNKNOWN"), "{left}");
}

#[test]
fn a_dumb_terminal_gets_lines_and_so_does_who_asks_for_them() {
    for (environment, words) in [("TERM=dumb", ""), ("", "--view lines")] {
        let Some(tmux) = Tmux::start(&Scenario::small(), environment, words) else { return };
        let left = tmux.ends_with(0);
        for text in ["agent 0 joined", "ready: 200 of 200 viewers connected", "PASS"] {
            assert!(left.contains(text), "`{text}` is missing:\n{left}");
        }
        assert!(!left.contains("[burst]") && !left.contains("[doors]"), "{left}");
    }
}

#[test]
fn a_run_to_its_end_leaves_its_report_and_the_terminal_as_it_was() {
    let Some(tmux) = Tmux::start(&Scenario::small(), "", "") else { return };
    tmux.shows("[burst]");
    let left = tmux.ends_with(0);
    keep("after-run", &left);

    assert!(left.contains("PASS") && left.contains("kept in run"), "{left}");
    assert!(!left.contains("[burst]"), "{left}");
    let modes = tmux.tell(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
    assert_eq!(modes.trim(), "0 1", "the usual screen, and a cursor on it");
}
