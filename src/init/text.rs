//! What `init` writes: a scenario with the keys that most shows change, each with its meaning.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::cli::Init;
use crate::problem::Problem;

/// More questions than a show has; a scenario may have them all the same.
pub(super) const MOST_QUESTIONS: u32 = 20;
/// As many as a stage may have.
pub(super) const MOST_PROXIES: u32 = 100;
/// Web servers of a stage behind its proxies.
const WEB_SERVERS: u32 = 6;
/// Viewers who connect in a second while the doors are open: what a laptop's stage takes with ease.
const ENTER_PER_S: u32 = 2_000;

/// What a scenario is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) name: String,
    pub(super) live: bool,
    pub(super) url: String,
    pub(super) viewers: u32,
    pub(super) questions: u32,
    /// Of a stage.
    pub(super) proxies: u32,
    /// Who knows a live name.
    pub(super) resolvers: Vec<SocketAddr>,
}

impl Answers {
    /// The case at a size that any laptop holds.
    pub(super) fn usual(name: &str) -> Self {
        Self {
            name: name.into(),
            live: false,
            url: "http://vote.show.test/vote".into(),
            viewers: 12_000,
            questions: 1,
            proxies: 15,
            resolvers: Vec::new(),
        }
    }

    /// What the flags say, and the usual for the rest.
    pub(super) fn of(args: &Init, name: &str) -> Result<Self, Problem> {
        let usual = Self::usual(name);
        if args.live && args.url.is_none() {
            return Err(Problem::usage(
                "--live: found no --url\n  needed: where votes go\n  fix:    --url https://vote.example.com/vote",
            ));
        }
        Ok(Self {
            live: args.live,
            url: args.url.clone().unwrap_or(usual.url),
            viewers: args.viewers.unwrap_or(usual.viewers),
            questions: args.questions.unwrap_or(usual.questions),
            proxies: args.proxies.unwrap_or(usual.proxies),
            resolvers: args.resolvers.clone(),
            ..Self::usual(name)
        })
    }

    /// What a first run needs beyond the file.
    pub(super) fn networks(&self) -> &'static str {
        if self.live { " --allow NETWORK-OF-YOUR-PROXIES" } else { "" }
    }

    /// The scenario.
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            r#"# Written by `voteburst init`. scenarios/show.toml explains every key there is.

name = "{}"
seed = 1                           # the same seed gives the same votes at the same instants

[audience]                         # who watches
viewers = {}
doors_open = "{}s"                 # they connect over this time before the first question

[carriers]                         # the shared DNS caches between phones and the name's servers
count = 6                          # of sizes 1, 1/2, 1/3 …

[target]                           # where votes go
url = {}
headers = {{ content-type = "application/json" }} # sent with every vote
body = '{{"ballot":"{{ballot}}","question":"{{question}}","choice":"{{choice}}"}}' # {{ballot}} is the same for every attempt
accepted = [200]                   # statuses that mean "your vote counts"

[target.retry]                     # what the app does after a failure
attempts = 2                       # in all; 1: it gives up
"#,
            self.name,
            self.viewers,
            self.viewers.div_ceil(ENTER_PER_S).clamp(5, 60),
            toml::Value::from(self.url.as_str()),
        );
        for question in 0..self.questions {
            self.question(&mut out, question);
        }
        out += r#"
[thresholds]                       # what makes it pass; the rest keeps its defaults
accepted_min = 0.999               # least share of votes accepted
complaints_max = 0.001             # greatest share of voters whose vote misses the window
response_p99_max = "2s"            # longest response at the 99th percentile, from the planned instant
"#;
        out + &if self.live { self.dns() } else { self.stage() }
    }

    fn question(&self, out: &mut String, number: u32) {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"
[[questions]]                      # repeat this table for every question
id = "q{}"
opens_at = "{}s"                   # after T0
window = "60s"                     # how long viewers may vote
grace = "1s"                       # how much longer votes on their way still count
turnout = 0.9                      # share of viewers who do
arrivals = {{ shape = "exponential-decay", mean = "10s" }} # many at once, then fewer
choices = {{ yes = 0.6, no = 0.4 }}  # shares sum to 1
"#,
            number + 1,
            number * 60,
        );
    }

    fn dns(&self) -> String {
        let servers: Vec<_> = self.resolvers.iter().map(|server| format!("\"{server}\"")).collect();
        format!(
            r#"
[dns]                              # who knows the url's name
recursive = [{}] # these are asked by voteburst's carriers; better, the name's own servers (`dig NS`):
# authoritative = ["192.0.2.53"]   # in place of `recursive`
# production_name = "vote.example.com" # refuse to play unless this name is of the same kind
"#,
            servers.join(", ")
        )
    }

    fn stage(&self) -> String {
        // Thrice an even share: what one proxy of many gets by chance with multivalue is less.
        let connections = u64::from(self.viewers) * 3 / u64::from(self.proxies) + 100;
        // Four times the requests in flight of the busiest second: a tenth of the votes, 30 ms each.
        let requests = (self.viewers / 500).max(self.proxies * 2);
        format!(
            r#"
[stage]                            # a world on loopback; leave this table out for a live target
zone = "multivalue"                # "single-a-weighted" is the case; `voteburst compare` plays both
ttl = "5s"                         # TTL of answers
proxies = {}
connection_limit = {}              # connections one proxy accepts
web_servers = {WEB_SERVERS}        # behind all proxies
web_server_coefficient = {}        # each proxy may use this / proxies requests of each web server
service_time = {{ distribution = "constant", mean = "30ms" }} # how long a vote takes there
"#,
            self.proxies,
            connections.min(1_000_000),
            requests.min(1_000_000),
        )
    }
}
