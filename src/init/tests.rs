use super::*;

/// The scenario that these answers make, or why it is none.
fn resolved(answers: &Answers) -> voteburst_burst::scenario::Scenario {
    let text = answers.text();
    let scenario = Draft::read(&text, "new.toml").and_then(|draft| draft.resolve(&|_| Err(io::ErrorKind::NotFound.into())));
    scenario.unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

#[test]
fn whatever_is_answered_makes_a_sound_scenario_that_says_so() {
    for viewers in [1, 2, 999, 12_000, 300_000, MOST_VIEWERS] {
        for questions in [1, 2, MOST_QUESTIONS] {
            for proxies in [1, 2, 15, MOST_PROXIES] {
                let answers = Answers { viewers, questions, proxies, ..Answers::usual("new") };
                let scenario = resolved(&answers);
                let stage = scenario.stage.as_ref().unwrap();
                assert_eq!((scenario.audience.viewers, u32::from(stage.proxies)), (viewers, proxies));
                assert_eq!(scenario.questions.len(), questions as usize);
            }
            let live = Answers {
                live: true,
                url: "https://vote.example.com:8443/a?b=\"c\"".into(),
                viewers,
                questions,
                ..Answers::usual("new")
            };
            let live =
                Answers { resolvers: vec!["[2001:db8::53]:53".parse().unwrap(), "192.0.2.53:5353".parse().unwrap()], ..live };
            assert_eq!(resolved(&live).dns.recursive, live.resolvers);
        }
    }
}

#[test]
fn questions_on_a_terminal_are_repeated_until_they_are_answered_and_an_empty_line_takes_the_usual() {
    let mut told = Vec::new();
    let answers = asked("x", &mut "maybe\nlive\nhttps://v.test/\n-1\n5_000\n\n192.0.2.53\n".as_bytes(), &mut told).unwrap();
    let resolvers = vec!["192.0.2.53:53".parse().unwrap()];
    let usual = Answers::usual("x");
    assert_eq!(answers, Answers { live: true, url: "https://v.test/".into(), viewers: 5_000, resolvers, ..usual });
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("`maybe` is no answer") && told.contains("`-1` is no answer"), "{told}");
    let usual = asked("x", &mut "\n\n\n\n\n".as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(usual, Answers::usual("x"));
}

#[test]
fn answers_that_end_too_soon_are_an_error_and_no_endless_question() {
    let error = asked("x", &mut "stage\n".as_bytes(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn any_file_name_makes_a_sound_name() {
    for (file, name) in
        [("my show.toml", "my-show"), (".toml", "toml"), ("-", "my-show"), ("ü/größe.toml", "gr--e"), ("..", "my-show")]
    {
        assert_eq!(name_of(Path::new(file)), name, "{file}");
        resolved(&Answers::usual(&name_of(Path::new(file))));
    }
}
