//! The ballot box: reads a vote out of a request and counts it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use voteburst_burst::ballot::BallotId;
use voteburst_burst::scenario::stage::BallotRule;

use crate::http::{Answer, Request};

/// A question as the ballot box knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What a vote names it by.
    pub id: String,
    /// The ids of its choices, in the order of the plan. Empty: any choice given as an index is taken.
    pub choices: Vec<String>,
}

/// A vote, read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) ballot: BallotId,
    pub(crate) question: u16,
    pub(crate) choice: u16,
}

/// What the ballot box holds about one ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BallotRecord {
    /// The ticket of the ballot: the second half of its id.
    pub ticket: u64,
    /// Index of the question, by the first receipt.
    pub question: u16,
    /// Index of the choice, by the first receipt.
    pub choice: u16,
    /// How often the ballot was received and answered 200; at least 1.
    pub receipts: u32,
    /// How often it was counted: 1 under [`BallotRule::OncePerBallot`], `receipts` under [`BallotRule::EveryRequest`].
    pub counted: u32,
    /// When it was first counted: nanoseconds of `CLOCK_MONOTONIC`, which all processes of one machine share.
    pub first_counted_ns: u64,
}

/// Counts votes. One per worker; [`merge`] makes one box of several.
#[derive(Debug)]
pub(crate) struct BallotBox {
    rule: BallotRule,
    /// The run whose ballots are counted; 0: those of any.
    run: u64,
    questions: Vec<Question>,
    records: HashMap<BallotId, BallotRecord>,
}

impl BallotBox {
    pub(crate) fn new(rule: BallotRule, run: u64, questions: Vec<Question>) -> Self {
        Self { rule, run, questions, records: HashMap::new() }
    }

    /// Reads the vote in a request, or says how to answer a request that holds none.
    ///
    /// Looks for `ballot`, `question` and `choice` in a JSON body, else in form fields of the body and the query;
    /// for the ballot alone in the header `idempotency-key` as well, if nothing else names it.
    pub(crate) fn read(&self, request: &Request<'_>) -> Result<Vote, Answer> {
        let mut words = Words::default();
        let body = request.body.trim_ascii();
        if body.first() == Some(&b'{') {
            words = serde_json::from_slice(body).map_err(|_| Answer::Unreadable)?;
        } else {
            words.add_form(std::str::from_utf8(body).map_err(|_| Answer::Unreadable)?);
        }
        words.add_form(request.query);
        let ballot = words.ballot.as_ref().map(|word| &*word.0).or(request.idempotency_key).ok_or(Answer::NoBallot)?;
        let ballot: BallotId = ballot.parse().map_err(|_| Answer::BadBallot)?;
        if self.run != 0 && ballot.run != self.run {
            return Err(Answer::ForeignBallot);
        }
        let (question, known) = words
            .question
            .and_then(|word| self.questions.iter().enumerate().find(|(_, question)| question.id == word.0))
            .ok_or(Answer::UnknownQuestion)?;
        let choice = words.choice.and_then(|word| known.choice(&word.0)).ok_or(Answer::UnknownChoice)?;
        let question = u16::try_from(question).map_err(|_| Answer::UnknownQuestion)?;
        Ok(Vote { ballot, question, choice })
    }

    /// Counts a vote at the instant `now_ns`, as the rule says.
    pub(crate) fn count(&mut self, vote: Vote, now_ns: u64) {
        let Vote { ballot, question, choice } = vote;
        let fresh = BallotRecord { ticket: ballot.ticket, question, choice, receipts: 0, counted: 0, first_counted_ns: now_ns };
        let record = self.records.entry(ballot).or_insert(fresh);
        record.receipts = record.receipts.saturating_add(1);
        record.counted = match self.rule {
            BallotRule::OncePerBallot => 1,
            BallotRule::EveryRequest => record.receipts,
        };
    }

    /// Everything received so far, by ticket.
    pub(crate) fn records(&self) -> Vec<BallotRecord> {
        merge(self.rule, self.records.values().copied())
    }
}

impl Question {
    fn choice(&self, word: &str) -> Option<u16> {
        let by_id = self.choices.iter().position(|id| id == word);
        let index = match by_id {
            Some(index) => index,
            None => word.parse().ok().filter(|&index| self.choices.is_empty() || index < self.choices.len())?,
        };
        u16::try_from(index).ok()
    }
}

/// Makes one box of the records of several: the earliest receipt of a ticket stands, receipts add up, and
/// under [`BallotRule::OncePerBallot`] a ticket counts once however many boxes received it. Sorted by ticket.
pub fn merge(rule: BallotRule, records: impl IntoIterator<Item = BallotRecord>) -> Vec<BallotRecord> {
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort_unstable_by_key(|record| (record.ticket, record.first_counted_ns));
    records.dedup_by(|later, first| {
        let same = later.ticket == first.ticket;
        if same {
            first.receipts = first.receipts.saturating_add(later.receipts);
            first.counted = match rule {
                BallotRule::OncePerBallot => 1,
                BallotRule::EveryRequest => first.counted.saturating_add(later.counted),
            };
        }
        same
    });
    records
}

/// The words of a vote as they came, unchecked.
#[derive(Debug, Default, Deserialize)]
struct Words<'b> {
    #[serde(borrow, default)]
    ballot: Option<Word<'b>>,
    #[serde(borrow, default)]
    question: Option<Word<'b>>,
    #[serde(borrow, default)]
    choice: Option<Word<'b>>,
}

impl<'b> Words<'b> {
    fn add_form(&mut self, form: &'b str) {
        for (key, value) in form.split('&').filter_map(|field| field.split_once('=')) {
            let place = match key {
                "ballot" => &mut self.ballot,
                "question" => &mut self.question,
                "choice" => &mut self.choice,
                _ => continue,
            };
            place.get_or_insert_with(|| Word(decode(value)));
        }
    }
}

/// Undoes the percent-encoding of a form value (URL Standard, section 5.1); a broken escape stands for itself.
fn decode(value: &str) -> Cow<'_, str> {
    if !value.contains(['%', '+']) {
        return Cow::Borrowed(value);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = tail.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let escape = escape.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if byte.is_some() { &tail[2..] } else { tail };
        bytes.push(byte.unwrap_or(if first == b'+' { b' ' } else { first }));
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// A JSON string, borrowed where it holds no escapes, or a whole number: apps write choices both ways.
#[derive(Debug)]
struct Word<'b>(Cow<'b, str>);

impl<'de: 'b, 'b> Deserialize<'de> for Word<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Word<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word<'de>, E> {
                Ok(Word(Cow::Owned(number.to_string())))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Reading, read};

    const ID: &str = "0000000000000007-000000000000002a";

    fn ballot_box(rule: BallotRule) -> BallotBox {
        let question = |id: &str, choices: &[&str]| Question {
            id: id.to_owned(),
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        };
        BallotBox::new(rule, 7, vec![question("final", &["anna", "ben"]), question("open", &[])])
    }

    fn outcome(target: &str, header: &str, body: &str) -> Result<(u64, u16, u16), Answer> {
        let text = format!("POST {target} HTTP/1.1\r\n{header}content-length: {}\r\n\r\n{body}", body.len());
        let Reading::Complete(request, _) = read(text.as_bytes()) else { panic!("no request: {text}") };
        ballot_box(BallotRule::OncePerBallot).read(&request).map(|vote| (vote.ballot.ticket, vote.question, vote.choice))
    }

    #[test]
    fn a_vote_is_found_wherever_an_app_may_put_it() {
        let key = format!("idempotency-key: \"{ID}\"\r\n");
        for (target, header, body, wanted) in [
            ("/vote", "", format!(r#"{{"ballot":"{ID}","question":"final","choice":"ben"}}"#), (42, 0, 1)),
            ("/v", "", format!(r#" {{"ballot":"{ID}","question":"final","choice":1,"more":[1,{{}}]}} "#), (42, 0, 1)),
            ("/v", "", format!(r#"{{"ballot":"{ID}","question":"f\u0069nal","choice":"0"}}"#), (42, 0, 0)),
            ("/v", key.as_str(), r#"{"question":"open","choice":65535}"#.to_owned(), (42, 1, 65_535)),
            ("/v", "", format!("ballot={ID}&question=final&choice=ann%61"), (42, 0, 0)),
            (&format!("/v?ballot={ID}&x=y"), "", "question=final&choice=anna".to_owned(), (42, 0, 0)),
            (&format!("/?ballot={ID}&question=open&choice=3"), "", String::new(), (42, 1, 3)),
        ] {
            assert_eq!(outcome(target, header, &body), Ok(wanted), "{target} {header} {body}");
        }
    }

    #[test]
    fn a_bad_vote_is_answered_with_its_reason() {
        for (body, wanted) in [
            (String::new(), Answer::NoBallot),
            ("{}".to_owned(), Answer::NoBallot),
            ("{\"ballot\":".to_owned(), Answer::Unreadable),
            ("{\"ballot\":[1]}".to_owned(), Answer::Unreadable),
            ("ballot=7".to_owned(), Answer::BadBallot),
            ("ballot=0000000000000008-000000000000002a".to_owned(), Answer::ForeignBallot),
            (format!("ballot={ID}"), Answer::UnknownQuestion),
            (format!("ballot={ID}&question=none&choice=0"), Answer::UnknownQuestion),
            (format!("ballot={ID}&question=final"), Answer::UnknownChoice),
            (format!("ballot={ID}&question=final&choice=2"), Answer::UnknownChoice),
            (format!("ballot={ID}&question=open&choice=65536"), Answer::UnknownChoice),
            (format!("ballot={ID}&question=open&choice=%zz%"), Answer::UnknownChoice),
        ] {
            assert_eq!(outcome("/vote", "", &body), Err(wanted), "{body}");
        }
    }

    #[test]
    fn a_repeated_ballot_counts_once_or_every_time_as_the_rule_says() {
        for (rule, counted) in [(BallotRule::OncePerBallot, 1), (BallotRule::EveryRequest, 3)] {
            let mut ballots = ballot_box(rule);
            let vote = |choice| Vote { ballot: BallotId { run: 7, ticket: 42 }, question: 0, choice };
            for (now_ns, choice) in [(10, 1), (20, 0), (30, 0)] {
                ballots.count(vote(choice), now_ns);
            }
            let wanted = BallotRecord { ticket: 42, question: 0, choice: 1, receipts: 3, counted, first_counted_ns: 10 };
            assert_eq!(ballots.records(), [wanted], "{rule:?}: the first receipt stands");
        }
    }

    #[test]
    fn boxes_merge_into_what_one_box_would_have_held() {
        let record = |ticket, choice, receipts, counted, first_counted_ns| BallotRecord {
            ticket,
            question: 0,
            choice,
            receipts,
            counted,
            first_counted_ns,
        };
        let once = merge(BallotRule::OncePerBallot, [record(2, 0, 1, 1, 50), record(1, 0, 2, 1, 30), record(1, 1, 1, 1, 20)]);
        assert_eq!(once, [record(1, 1, 3, 1, 20), record(2, 0, 1, 1, 50)]);
        let every = merge(BallotRule::EveryRequest, [record(1, 0, 2, 2, 30), record(1, 1, 3, 3, 20)]);
        assert_eq!(every, [record(1, 1, 5, 5, 20)]);
    }
}
