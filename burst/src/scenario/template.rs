//! The vote as bytes: an HTTP/1.1 request with places for question, choice, viewer and ballot id.

use crate::ballot::BallotId;

/// What fills the placeholders of one vote.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// The question's id.
    pub question: &'a str,
    /// The choice's id.
    pub choice: &'a str,
    /// The viewer's number.
    pub viewer: u32,
    /// The ballot id, the same for every attempt.
    pub ballot: BallotId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// A placeholder, as in `{ballot}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Question,
    Choice,
    Viewer,
    Ballot,
    Attempt,
}

/// The words that may stand between braces.
pub const PLACEHOLDERS: [&str; 5] = ["question", "choice", "viewer", "ballot", "attempt"];

impl Place {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "question" => Self::Question,
            "choice" => Self::Choice,
            "viewer" => Self::Viewer,
            "ballot" => Self::Ballot,
            "attempt" => Self::Attempt,
            _ => return None,
        })
    }

    fn len(self, fill: &Fill<'_>) -> usize {
        let digits = |number: u32| number.checked_ilog10().unwrap_or(0) as usize + 1;
        match self {
            Self::Question => fill.question.len(),
            Self::Choice => fill.choice.len(),
            Self::Viewer => digits(fill.viewer),
            Self::Ballot => 33,
            Self::Attempt => digits(fill.attempt),
        }
    }

    fn write(self, out: &mut Vec<u8>, fill: &Fill<'_>) {
        match self {
            Self::Question => out.extend_from_slice(fill.question.as_bytes()),
            Self::Choice => out.extend_from_slice(fill.choice.as_bytes()),
            Self::Viewer => number(out, u64::from(fill.viewer)),
            Self::Ballot => {
                out.extend_from_slice(&hex(fill.ballot.run));
                out.push(b'-');
                out.extend_from_slice(&hex(fill.ballot.ticket));
            }
            Self::Attempt => number(out, u64::from(fill.attempt)),
        }
    }
}

// Rendering is part of every vote; these two write into arrays because `write!` and an extended `Vec` cost several times as much.

fn hex(value: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(value >> ((15 - place) * 4) & 15) as usize])
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    // 2^64 has 20 digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[first..]);
        }
    }
}

/// Text with placeholders, cut at its places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Text(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Fixed(String),
    Filled(Place),
}

impl Text {
    /// Cuts a text. A word of letters, digits and underscores in braces is a placeholder; doubled braces around it stand for single ones.
    /// Any other brace, such as those of JSON, stands for itself. An unknown word is returned as the error.
    fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut fixed, mut rest) = (Vec::new(), String::new(), text);
        while let Some(open) = rest.find('{') {
            fixed.push_str(&rest[..open]);
            rest = &rest[open..];
            let escaped = rest.strip_prefix("{{").and_then(word_then("}}"));
            if let Some((word, after)) = escaped {
                fixed.extend(["{", word, "}"]);
                rest = after;
            } else if let Some((word, after)) = rest.strip_prefix('{').and_then(word_then("}")) {
                let place = Place::of(word).ok_or_else(|| word.to_owned())?;
                parts.extend([Part::Fixed(std::mem::take(&mut fixed)), Part::Filled(place)]);
                rest = after;
            } else {
                fixed.push('{');
                rest = &rest[1..];
            }
        }
        fixed.push_str(rest);
        parts.push(Part::Fixed(fixed));
        parts.retain(|part| !matches!(part, Part::Fixed(text) if text.is_empty()));
        Ok(Self(parts))
    }

    fn fixed(text: &str) -> Self {
        Self(vec![Part::Fixed(text.to_owned())])
    }

    fn len(&self, fill: &Fill<'_>) -> usize {
        self.0
            .iter()
            .map(|part| match part {
                Part::Fixed(text) => text.len(),
                Part::Filled(place) => place.len(fill),
            })
            .sum()
    }

    fn write(&self, out: &mut Vec<u8>, fill: &Fill<'_>) {
        for part in &self.0 {
            match part {
                Part::Fixed(text) => out.extend_from_slice(text.as_bytes()),
                Part::Filled(place) => place.write(out, fill),
            }
        }
    }
}

fn word_then<'a>(end: &'static str) -> impl Fn(&'a str) -> Option<(&'a str, &'a str)> {
    move |text| {
        let length = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|length| *length > 0)?;
        text.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(())?;
        let (word, rest) = text.split_at(length);
        Some((word, rest.strip_prefix(end)?))
    }
}

/// A whole request with its placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTemplate {
    head: Text,
    body: Text,
    with_length: bool,
}

/// Why a request cannot be made into a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateProblem {
    /// A word in braces that is no placeholder: where (path, a header's name, body), and the word.
    UnknownPlaceholder(String, String),
    /// A character that would break the request apart, and where.
    Control(String),
    /// A header that voteburst sets itself.
    Reserved(String),
    /// A name that is no HTTP header name.
    HeaderName(String),
}

impl RequestTemplate {
    /// Puts a request together. `path` begins with `/`; `host` goes into the Host header as it is.
    ///
    /// # Errors
    /// Unknown placeholders, control characters, header names that are invalid or set by voteburst itself
    /// (Host, Content-Length, Connection, Transfer-Encoding).
    pub fn new<'a>(
        method: &str,
        path: &str,
        host: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: &str,
    ) -> Result<Self, TemplateProblem> {
        let cut = |place: &str, text: &str| {
            if text.chars().any(char::is_control) {
                return Err(TemplateProblem::Control(place.into()));
            }
            Text::parse(text).map_err(|word| TemplateProblem::UnknownPlaceholder(place.into(), word))
        };
        let mut head = Text::fixed(&format!("{method} "));
        head.0.extend(cut("url", path)?.0);
        head.0.extend(Text::fixed(&format!(" HTTP/1.1\r\nhost: {host}\r\n")).0);
        for (name, value) in headers {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(TemplateProblem::HeaderName(name.into()));
            }
            if ["host", "content-length", "connection", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
                return Err(TemplateProblem::Reserved(name.into()));
            }
            head.0.extend(Text::fixed(&format!("{name}: ")).0);
            head.0.extend(cut(&format!("headers.{name}"), value)?.0);
            head.0.extend(Text::fixed("\r\n").0);
        }
        let body = Text::parse(body).map_err(|word| TemplateProblem::UnknownPlaceholder("body".into(), word))?;
        let with_length = !body.0.is_empty() || !matches!(method, "GET" | "HEAD" | "DELETE");
        Ok(Self { head: joined(head), body, with_length })
    }

    /// Appends the request of one vote to `out`.
    pub fn render(&self, out: &mut Vec<u8>, fill: &Fill<'_>) {
        self.head.write(out, fill);
        if self.with_length {
            out.extend_from_slice(b"content-length: ");
            number(out, self.body.len(fill) as u64);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.body.write(out, fill);
    }

    /// Whether the ballot id stands anywhere in the request. Without it a backend cannot tell a retry from a second vote.
    #[must_use]
    pub fn names_ballot(&self) -> bool {
        self.head.0.iter().chain(&self.body.0).any(|part| *part == Part::Filled(Place::Ballot))
    }
}

/// Joins neighbouring fixed parts, so that rendering copies as few pieces as possible.
fn joined(text: Text) -> Text {
    let mut parts: Vec<Part> = Vec::with_capacity(text.0.len());
    for part in text.0 {
        match (parts.last_mut(), part) {
            (Some(Part::Fixed(before)), Part::Fixed(after)) => before.push_str(&after),
            (_, part) => parts.push(part),
        }
    }
    Text(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: Fill<'_> =
        Fill { question: "winner", choice: "anna", viewer: 10, ballot: BallotId { run: 0xabc, ticket: 0x1f }, attempt: 2 };

    fn render(template: &RequestTemplate) -> String {
        let mut out = Vec::new();
        template.render(&mut out, &FILL);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_vote_is_rendered_with_every_placeholder_and_its_exact_length() {
        let body = r#"{"ballot":"{ballot}","of":{"viewer":{viewer}},"try":"{attempt}","literal":"{{choice}}"}"#;
        let template =
            RequestTemplate::new("POST", "/vote/{question}?c={choice}", "vote.test", [("x-ballot", "{ballot}")], body).unwrap();
        let text = render(&template);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let ballot = FILL.ballot.to_string();
        assert_eq!(body, format!(r#"{{"ballot":"{ballot}","of":{{"viewer":10}},"try":"2","literal":"{{choice}}"}}"#));
        assert_eq!(
            head,
            format!(
                "POST /vote/winner?c=anna HTTP/1.1\r\nhost: vote.test\r\nx-ballot: {ballot}\r\ncontent-length: {}",
                body.len()
            )
        );
        assert!(template.names_ballot());
    }

    #[test]
    fn a_get_without_a_body_has_no_length() {
        let template = RequestTemplate::new("GET", "/", "vote.test", [], "").unwrap();
        assert_eq!(render(&template), "GET / HTTP/1.1\r\nhost: vote.test\r\n\r\n");
        assert!(!template.names_ballot());
    }

    #[test]
    fn lengths_of_numbers_are_those_of_their_digits() {
        for (viewer, digits) in [(0, 1), (9, 1), (10, 2), (99, 2), (100, 3), (u32::MAX, 10)] {
            assert_eq!(Place::Viewer.len(&Fill { viewer, ..FILL }), digits, "{viewer}");
        }
    }

    #[test]
    fn numbers_and_ballots_are_written_as_everybody_writes_them() {
        for value in [0, 7, 10, 909, 4_294_967_295, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!((out, hex(value).to_vec()), (value.to_string().into_bytes(), format!("{value:016x}").into_bytes()));
        }
    }

    #[test]
    fn what_would_break_a_request_is_refused() {
        let new = |path, header: (&'static str, &'static str), body| {
            RequestTemplate::new("POST", path, "h", [header], body).unwrap_err()
        };
        let fine = ("a", "b");
        assert_eq!(new("/{viewr}", fine, ""), TemplateProblem::UnknownPlaceholder("url".into(), "viewr".into()));
        assert_eq!(new("/", fine, "{balot}"), TemplateProblem::UnknownPlaceholder("body".into(), "balot".into()));
        assert_eq!(new("/", ("a", "b\r\nc: d"), ""), TemplateProblem::Control("headers.a".into()));
        assert_eq!(new("/", ("Content-Length", "1"), ""), TemplateProblem::Reserved("Content-Length".into()));
        assert_eq!(new("/", ("a b", "1"), ""), TemplateProblem::HeaderName("a b".into()));
    }
}
