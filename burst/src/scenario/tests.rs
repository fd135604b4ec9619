use std::io;
use std::time::Duration;

use super::*;
use crate::phone::{CacheScope, PickOrder, Racing, TtlRule};
use crate::zone::MemberState;

const SHOW: &str = include_str!("../../../scenarios/show.toml");
const SMOKE: &str = include_str!("../../../scenarios/smoke.toml");

fn no_files(path: &str) -> io::Result<String> {
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no file {path} here")))
}

fn parse(text: &str) -> Result<Scenario, ScenarioProblem> {
    Scenario::parse(text, "show.toml", &no_files)
}

/// The show with one line put in another's place.
fn with(line: &str, other: &str) -> String {
    assert_eq!(SHOW.matches(line).count(), 1, "`{line}` must stand once in show.toml");
    SHOW.replace(line, other)
}

#[test]
fn the_scenarios_that_come_with_voteburst_are_sound() {
    let show = parse(SHOW).unwrap();
    assert_eq!(show.audience.viewers, 12_000);
    assert_eq!(show.dns.name, "vote.show.test.");
    assert_eq!(show.stage.as_ref().map(Stage::server_limit), Some(2));
    assert_eq!(show.questions[0].window, Duration::from_secs(60));
    assert_eq!(parse(SMOKE).unwrap().questions.len(), 2);
}

#[test]
fn canonical_text_gives_an_equal_scenario() {
    let show = parse(SHOW).unwrap();
    let again = parse(&show.to_toml()).unwrap();
    assert_eq!(again, show);
    assert_eq!(again.to_toml(), show.to_toml());
}

#[test]
fn a_network_of_sources_stands_for_its_addresses_and_stays_a_network_in_the_canonical_text() {
    let show = parse(&with("arm_timeout = ", "sources = [\"10.0.9.1\", \"10.0.8.0/30\"]\narm_timeout = ")).unwrap();
    let sources: Vec<_> = show.agents.sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["10.0.9.1", "10.0.8.1", "10.0.8.2"]);
    assert!(show.to_toml().contains("\"10.0.8.0/30\""), "{}", show.to_toml());
    assert_eq!(parse(&show.to_toml()).unwrap(), show);
}

#[test]
fn sources_that_are_none_or_too_many_are_refused_with_their_place() {
    for (sources, key, words) in [
        (r#"["10.0.8.1", "10.0.8"]"#, "agents.sources[1]", ["`10.0.8`", "10.0.8.0/28"]),
        (r#"["10.0.0.0/21"]"#, "agents.sources[0]", ["2046 addresses", "at most 1024"]),
        (r#"["10.0.0.0/22", "10.9.0.0/30", "::1"]"#, "agents.sources[2]", ["more than 1024", "`::1`"]),
    ] {
        let problem = parse(&with("arm_timeout = ", &format!("sources = {sources}\narm_timeout = "))).expect_err(sources);
        assert_eq!(problem.key, key, "{problem}");
        assert!(problem.line > 0 && words.iter().all(|word| problem.to_string().contains(word)), "{problem}");
    }
}

#[test]
fn a_trace_travels_inside_the_canonical_text() {
    let text = with(
        r#"arrivals = { shape = "exponential-decay", mean = "12s" }"#,
        r#"arrivals = { shape = "trace", file = "votes.txt" }"#,
    );
    let read =
        |path: &str| if path == "votes.txt" { Ok("# recorded\n0.5\n\n12.25 # crest\n59.9\n".to_owned()) } else { no_files(path) };
    let scenario = Scenario::parse(&text, "show.toml", &read).unwrap();
    assert_eq!(scenario.questions[0].arrivals, Shape::Trace { offsets_us: vec![500_000, 12_250_000, 59_900_000].into() });
    assert_eq!(parse(&scenario.to_toml()).unwrap(), scenario);
}

#[test]
fn every_mistake_is_answered_with_its_place_and_a_way_out() {
    // What stands there, what is written instead, the key, and words the message must hold.
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("viewers = 12_000", "viewrs = 12_000", "audience.viewrs", &["`viewrs`", "did you mean `viewers`?"]),
        ("[dns] ", "[dsn] ", "dsn", &["`dsn`", "did you mean `dns`?"]),
        ("viewers = 12_000", "viewers = -5", "audience.viewers", &["-5", "from 1 to 50000000"]),
        ("viewers = 12_000", "viewers = 0", "audience.viewers", &["0", "the nearest that works is 1"]),
        ("viewers = 12_000", "viewers = 1_000_000_000_000", "audience.viewers", &["the nearest that works is 50000000"]),
        ("viewers = 12_000", "viewers = \"many\"", "audience.viewers", &["string \"many\"", "a whole number"]),
        ("doors_open = \"10s\"", "doors_open = 12", "audience.doors_open", &["integer `12`"]),
        ("doors_open = \"10s\"", "doors_open = \"12 parsecs\"", "audience.doors_open", &["12 parsecs", "\"10s\""]),
        ("share = 0.5 }", "share = 0.4 }", "audience.phones", &["sum to 0.9", "add 0.1"]),
        ("share = 0.5 }", "share = 0.5, client = \"ful\" }", "audience.phones[0].client", &["did you mean `full`?"]),
        ("share = 0.5 }", "share = nan }", "audience.phones", &["NaN"]),
        ("kind = \"android-okhttp\"", "kind = \"android-okhtp\"", "audience.phones[0].kind", &["did you mean `android-okhttp`?"]),
        ("kind = \"android-okhttp\"", "kind = \"custom\"", "audience.phones[0].kind", &["without a description"]),
        ("kind = \"android-okhttp\"", "kind = \"ios-urlsession\"", "audience.phones[1]", &["twice", "add the shares up"]),
        ("share = 0.4 }", "share = 0.4, custom = { ttl_rule = \"apple\" } }", "audience.phones[1].custom", &["not both"]),
        ("ttl_min = \"0s\" ", "shares = [0.5, 0.2, 0.2, 0.1] ", "carriers.sizes", &["beside `shares`", "no effect"]),
        ("sizes = \"zipf\" ", "sizes = \"equal\" ", "carriers.zipf_exponent", &["no exponent"]),
        ("prefetch = 0.0", "prefetch = 10", "carriers.prefetch", &["from 0 to 0.99"]),
        ("caches = 1 ", "client_subnets = [\"10.0.0.0/8\"]", "carriers.client_subnets", &["1 subnets for 4 carriers"]),
        ("ipv6 = false", "production_name = \"a b\"", "dns.production_name", &["`a b`", "host name"]),
        (
            "proxies = 15 ",
            "proxies = 15\nchanges = [{ at = \"1s\", proxy = 16, becomes = \"removed\" }]",
            "stage.changes[0].proxy",
            &["from 1 to 15"],
        ),
        ("proxies = 15 ", "proxies = 15\naliases = [\"a..b\"]", "stage.aliases[0]", &["`a..b`"]),
        ("anna = 0.45", "anna = 0.5", "questions[0].choices", &["sum to 1.05", "take away 0.05"]),
        ("count = 4 ", "count = 0 ", "carriers.count", &["the nearest that works is 1"]),
        ("{viewer}}'", "{viewr}}'", "target.body", &["{viewr}", "did you mean {viewer}?"]),
        ("url = \"http://vote.show.test/vote\"", "url = \"vote.show.test\"", "target.url", &["https://NAME"]),
        ("share = 0.4 }", "share = 0.4, client = \"full\" }", "audience.phones[1].client", &["plain http", "https://"]),
        ("name = \"vote.show.test\"", "name = \"127.0.0.1\"", "dns.name", &["the address 127.0.0.1", "host name"]),
        ("mean = \"12s\" }", "mean = \"12s\", sigma = 1.0 }", "questions[0].arrivals.sigma", &["only `mean`"]),
        ("mean = \"12s\" }", "median = \"12s\" }", "questions[0].arrivals.median", &["remove `median`"]),
        (
            "shape = \"exponential-decay\", mean = \"12s\" }",
            "shape = \"log-normal\", median = \"1h\", sigma = 0.1 }",
            "questions[0].arrivals",
            &["0.00 %"],
        ),
        (
            "shape = \"exponential-decay\", mean = \"12s\" }",
            "shape = \"trace\", file = \"votes.txt\" }",
            "questions[0].arrivals.file",
            &["`votes.txt`", "cannot be read"],
        ),
        ("zone = \"single-a-weighted\"", "zone = \"single-a\"", "stage.zone", &["`single-a`", "did you mean `single-a-"]),
        ("proxies = 15 ", "proxies = 15\nweights = [1, 2] ", "stage.weights", &["2 weights for 15 proxies"]),
        ("attempts = 3  ", "attempts = 3\nrecursive = [\"127.0.0.1\"]", "dns", &["beside a [stage]"]),
        ("seed = 20240607 ", "", "seed", &["the key `seed`", "add `seed = …`"]),
        ("seed = 20240607 ", "seed = \n", "", &["correct this line"]),
        ("[stage] ", "[elsewhere]", "elsewhere", &["does not know"]),
        ("ttl = \"5s\" ", "ttl = \"900ms\" ", "stage.ttl", &["900ms", "whole seconds", "\"1s\""]),
        ("opens_at = \"0s\" ", "opens_at = \"59m\" ", "questions", &["at most 55m", "in parts"]),
        ("\"choice\":\"{choice}\"", "\"choice\":\"{Choice}\"", "target.body", &["{Choice}", "did you mean {choice}?"]),
        ("accepted = [200] ", "accepted = [] ", "target.accepted", &["at least one"]),
        ("{\"ballot\":\"{ballot}\",", "{", "target", &["{ballot}"]),
        ("id = \"winner\"", "id = \"../../etc\"", "questions[0].id", &["keep it plain"]),
    ];
    for (line, other, key, words) in cases {
        let problem = parse(&with(line, other)).expect_err(other);
        let message = problem.to_string();
        assert_eq!(problem.key, *key, "{other}: {message}");
        for word in *words {
            assert!(message.contains(word), "{other}: `{word}` is not in\n{message}");
        }
        assert!(problem.line > 0 && message.starts_with("show.toml:"), "{other}: no place in\n{message}");
    }
}

#[test]
fn a_message_points_at_the_line_that_is_wrong() {
    let problem = parse(&with("viewers = 12_000", "viewrs = 12_000")).unwrap_err();
    let line = SHOW.lines().position(|line| line.starts_with("viewers")).unwrap() + 1;
    assert_eq!((problem.line, problem.column), (line, 1));
    assert!(problem.text.starts_with("viewrs = 12_000"));
}

#[test]
fn hostile_files_are_refused_without_harm() {
    let deep = format!("name = {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    for text in ["", "\u{0}", "name", &deep, "[[[", "name = \"a\"\nname = \"b\"", "\u{feff}"] {
        let shown: String = text.chars().take(20).collect();
        assert!(parse(text).is_err(), "{shown}");
    }
    assert!(parse(&SHOW.replace('\n', "\r\n")).is_ok(), "line ends of Windows are fine");
    assert!(parse(&format!("\u{feff}{SHOW}")).is_ok(), "a byte order mark is fine");
}

#[test]
fn overrides_of_the_command_line_are_checked_like_written_words() {
    let draft = || Draft::read(SHOW, "show.toml").unwrap();
    let scenario = draft().with_viewers(500).with_seed(9).with_zone(ZonePolicy::Multivalue).resolve(&no_files).unwrap();
    assert_eq!((scenario.audience.viewers, scenario.seed), (500, 9));
    assert_eq!(scenario.stage.map(|stage| stage.zone), Some(ZonePolicy::Multivalue));
    assert!(draft().with_viewers(0).resolve(&no_files).is_err());
}

#[test]
fn a_live_target_needs_somebody_who_knows_the_name() {
    let live = SHOW.split("[stage]").next().unwrap();
    assert!(parse(live).unwrap_err().to_string().contains("dig NS"));
    let asked = live.replace("attempts = 3  ", "authoritative = [\"192.0.2.53\"]\n");
    assert_eq!(parse(&asked).unwrap().dns.authoritative, ["192.0.2.53:53".parse().unwrap()]);
}

#[test]
fn a_custom_phone_does_what_it_is_told() {
    let custom = "kind = \"custom\", custom = { name = \"stick\", scope = \"none\", ttl_rule = \"fixed\", ttl = \"7s\", \
                  racing = \"every\", delay = \"100ms\", order = \"shuffled\", families = \"ipv4-first\" }";
    let scenario = parse(&with("kind = \"android-okhttp\"", custom)).unwrap();
    let phone = &scenario.audience.phones[0];
    assert_eq!((phone.name.as_str(), phone.model.ttl), ("stick", TtlRule::Fixed(7)));
    assert_eq!(phone.model.racing, Racing::Every(Duration::from_millis(100)));
    assert_eq!((phone.model.scope, phone.model.order), (CacheScope::None, PickOrder::Shuffled));
    let missing = with("kind = \"android-okhttp\"", "kind = \"custom\", custom = { ttl_rule = \"at-least\" }");
    assert_eq!(parse(&missing).unwrap_err().key, "audience.phones[0].custom.ttl");
}

#[test]
fn carriers_are_sized_stretched_and_cached_as_written() {
    let list = |line: &str, other: &str| parse(&with(line, other)).unwrap().carriers.list;
    let top = list("caches = 1 ", "top_share = 0.7\ncaches = 3 ");
    assert_eq!((top[0].share, top[0].caches, top.len()), (0.7, 3, 4));
    assert!((top.iter().map(|carrier| carrier.share).sum::<f64>() - 1.0).abs() < 1e-12);
    let stretched = list("ttl_min = \"0s\" ", "stretch = { share = 1.0, to = \"2days\" } ");
    assert!(stretched.iter().all(|carrier| (carrier.cache.ttl_min_s, carrier.cache.ttl_max_s) == (172_800, 172_800)));
    let some = list("count = 4 ", "stretch = { share = 0.25, to = \"1h\" }\ncount = 1000 ");
    let count = some.iter().filter(|carrier| carrier.cache.ttl_min_s == 3_600).count();
    // 250 of 1,000 with a standard deviation of 14; four of them.
    assert!((195..=305).contains(&count), "{count}");
    let subnets = "client_subnets = [\"203.0.113.0/24\", \"2001:db8::/56\", \"198.51.100.0/24\", \"192.0.2.0/24\"]";
    assert_eq!(list("caches = 1 ", subnets)[1].client_subnet.map(|subnet| subnet.prefix), Some(56));
}

#[test]
fn a_proxy_that_is_added_later_is_not_in_the_zone_before() {
    let changes = "proxies = 15\nchanges = [{ at = \"20s\", proxy = 2, becomes = \"added\" }, { at = \"20s\", proxy = 1, becomes = \"removed\" }]";
    let stage = parse(&with("proxies = 15 ", changes)).unwrap().stage.unwrap();
    let addresses: Vec<IpAddr> = (1..=15).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let zone = stage.zone(&addresses, 1).unwrap();
    let states: Vec<_> = zone.members()[..3].iter().map(|member| (member.state, member.changes.len())).collect();
    assert_eq!(states, [(MemberState::Healthy, 1), (MemberState::Absent, 1), (MemberState::Healthy, 0)]);
}

#[test]
fn the_line_of_a_key_is_known_and_that_of_its_table_when_it_is_absent() {
    let text = "name = \"x\"\n\n[thresholds]\n# more\naccepted_min = 0.9\n[[questions]]\nid = \"a\"\n[[questions]]\nid = \"b\"\n";
    let lines =
        ["name", "thresholds.accepted_min", "thresholds.absent", "questions[1].id", "stage.ttl"].map(|key| line_of(text, key));
    assert_eq!(lines, [Some(1), Some(5), Some(3), Some(9), None]);
    assert_eq!(line_of("no [toml", "name"), None);
}

#[test]
fn lines_of_limits_are_read_and_travel_and_leave_plans_without_any_as_they_were() {
    let lines = "start_spread_max = \"100ms\"\n[[thresholds.limits]]\nexpect = \"response.p99 < 400ms per proxy\"\n\
                 [[thresholds.limits]]\nexpect = \"complaints<0.5%\"\nabort = true\n";
    let scenario = parse(&with("start_spread_max = \"100ms\" ", lines)).unwrap();
    let shown: Vec<_> = scenario.thresholds.limits.iter().map(|limit| (limit.expectation.to_string(), limit.abort)).collect();
    assert_eq!(shown, [("response.p99 < 400ms per proxy".to_owned(), false), ("complaints < 0.5 %".to_owned(), true)]);
    assert_eq!(parse(&scenario.to_toml()).unwrap(), scenario);
    assert!(!parse(SHOW).unwrap().to_toml().contains("limits"), "the hash of a plan covers this text");
}

#[test]
fn a_line_of_limits_that_makes_no_sense_is_refused_at_its_place() {
    let cases = [
        ("expect = \"respnse.p99 < 1s\"", "thresholds.limits[0].expect", "did you mean `response`?"),
        ("expect = \"accepted >= 9 % per phone\"\nabort = true", "thresholds.limits[0].abort", "remove `abort`"),
        ("expect = \"skew.total < 2\"\n[[thresholds.limits]]\nexpect = \"skew.total<2\"", "thresholds.limits[1].expect", "twice"),
        ("expct = \"skew.total < 2\"", "thresholds.limits[0].expct", "did you mean `expect`?"),
        ("abort = true", "thresholds.limits[0].expect", "the key `expect`"),
    ];
    for (lines, key, words) in cases {
        let text =
            with("start_spread_max = \"100ms\" ", &format!("start_spread_max = \"100ms\"\n[[thresholds.limits]]\n{lines}\n#"));
        let problem = parse(&text).expect_err(lines);
        assert_eq!(problem.key, key, "{problem}");
        assert!(problem.line > 0 && problem.to_string().contains(words), "{problem}");
    }
}
