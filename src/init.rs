//! `voteburst init`: a commented scenario after a few questions or flags.

mod text;

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use voteburst_burst::scenario::{Draft, MOST_VIEWERS};
use voteburst_dns::find::resolvers_of;

use crate::cli::Init;
use crate::problem::Problem;
use crate::say;
use text::{Answers, MOST_PROXIES, MOST_QUESTIONS};

/// Where this system names its resolvers, resolv.conf(5).
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The name that stands for standard output.
const STDOUT: &str = "-";

pub(crate) fn init(args: &Init) -> Result<ExitCode, Problem> {
    let name = name_of(&args.output);
    let answers = if args.says_anything() || !io::stdin().is_terminal() {
        Answers::of(args, &name)?
    } else {
        asked(&name, &mut io::stdin().lock(), &mut io::stderr()).map_err(Problem::usage)?
    };
    let answers = with_resolvers(answers)?;
    let text = answers.text();
    // What is wrong with an answer is told as in any scenario; nothing that `check` would refuse is written.
    let draft = Draft::read(&text, &args.output.display().to_string()).map_err(Problem::usage)?;
    draft.resolve(&|_| Err(io::ErrorKind::NotFound.into())).map_err(Problem::usage)?;
    if args.output == Path::new(STDOUT) {
        say::result(&text);
        return Ok(ExitCode::SUCCESS);
    }
    write(&args.output, &text, args.force)?;
    if !args.quiet {
        let file = args.output.display();
        say::note(&format!("wrote {file}\n  next: voteburst check {file}\n        voteburst run {file}{}", answers.networks()));
    }
    Ok(ExitCode::SUCCESS)
}

/// A live name is asked for through this machine's resolvers unless others are named.
fn with_resolvers(mut answers: Answers) -> Result<Answers, Problem> {
    if answers.live && answers.resolvers.is_empty() {
        let found = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        answers.resolvers = resolvers_of(&found);
        if answers.resolvers.is_empty() {
            return Err(Problem::usage(format!(
                "--live: found no resolver in {RESOLV_CONF}\n  needed: a DNS server that knows the name\n  fix:    --resolver 192.0.2.53"
            )));
        }
    }
    Ok(answers)
}

/// The scenario's name, out of the file's: what is no letter, digit, dash or dot becomes a dash.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).take(64);
    let plain: String = plain.collect();
    let plain = plain.trim_start_matches(['.', '-']).to_owned();
    if plain.is_empty() { "my-show".into() } else { plain }
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Problem> {
    let mut options = OpenOptions::new();
    options.write(true);
    // Made and opened in one step, so that a file that appears in between is not lost either.
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let fix = if error.kind() == io::ErrorKind::AlreadyExists {
            "--force to write over it, or another name with --output"
        } else {
            "a file that can be written, with --output"
        };
        Problem::usage(format!("{}: {error}\n  needed: a file that is not there yet\n  fix:    {fix}", file.display()))
    })
}

/// Asks on a terminal. An empty line takes what stands in brackets.
fn asked(name: &str, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<Answers> {
    let mut answers = Answers::usual(name);
    answers.live =
        ask(from, to, "Play against a live target, or on a stage on this machine? (live/stage)", "stage", |word| match word {
            "live" => Some(true),
            "stage" => Some(false),
            _ => None,
        })?;
    let url = if answers.live { "https://vote.example.com/vote" } else { answers.url.as_str() }.to_owned();
    answers.url = ask(from, to, "Where do votes go? (URL)", &url, |word| word.contains("://").then(|| word.to_owned()))?;
    let viewers = answers.viewers.to_string();
    answers.viewers = ask(from, to, "How many viewers?", &viewers, |word| number(word, MOST_VIEWERS))?;
    answers.questions = ask(from, to, "How many questions?", "1", |word| number(word, MOST_QUESTIONS))?;
    if answers.live {
        answers.resolvers = ask(from, to, "Which DNS server knows the name? (IP:PORT, empty: this machine's)", "", |word| {
            let server: Option<SocketAddr> = crate::cli::dns_server(word).ok();
            if word.is_empty() { Some(Vec::new()) } else { server.map(|server| vec![server]) }
        })?;
    } else {
        let proxies = answers.proxies.to_string();
        answers.proxies = ask(from, to, "How many proxies?", &proxies, |word| number(word, MOST_PROXIES))?;
    }
    Ok(answers)
}

fn number(word: &str, most: u32) -> Option<u32> {
    word.replace('_', "").parse().ok().filter(|found| (1..=most).contains(found))
}

/// One question, repeated until its answer can be read.
fn ask<T>(
    from: &mut impl BufRead,
    to: &mut impl Write,
    question: &str,
    usual: &str,
    read: impl Fn(&str) -> Option<T>,
) -> io::Result<T> {
    loop {
        write!(to, "{question} [{usual}] ")?;
        to.flush()?;
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answers ended; nothing was written"));
        }
        let word = if line.trim().is_empty() { usual } else { line.trim() };
        match read(word) {
            Some(answer) => return Ok(answer),
            None => writeln!(to, "  `{word}` is no answer to that.")?,
        }
    }
}

#[cfg(test)]
mod tests;
