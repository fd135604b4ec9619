//! The name, the request and how the app behaves.

use super::*;

impl Check<'_> {
    pub(super) fn dns(&self, words: &words::Words, host: &str) -> Checked<Dns> {
        let key = if words.dns.name.is_some() { "dns.name" } else { "target.url" };
        let name = self.host_name(key, words.dns.name.as_deref().unwrap_or(host))?;
        let production = words.dns.production_name.as_deref().map(|name| self.host_name("dns.production_name", name));
        let authoritative = self.sockets("dns.authoritative", &words.dns.authoritative)?;
        let recursive = self.sockets("dns.recursive", &words.dns.recursive)?;
        let timeout = self.time("dns.timeout", words.dns.timeout, Duration::from_millis(10), Duration::from_secs(60))?;
        let attempts = self.whole("dns.attempts", words.dns.attempts, 1, 10)?;
        let (ipv6, production_name) = (words.dns.ipv6, production.transpose()?);
        let production_servers = self.sockets("dns.production_servers", &words.dns.production_servers)?;
        if production_name.is_none() && !production_servers.is_empty() {
            let (found, fix) = ("`production_servers` without `production_name`", "add `production_name`, or remove the servers");
            return Err(self.places.problem("dns.production_servers", found, "the name to ask them for", fix));
        }
        Ok(Dns { name, authoritative, recursive, timeout, attempts, ipv6, production_name, production_servers })
    }

    /// A host name, absolute and in small letters.
    pub(super) fn host_name(&self, key: &str, found: &str) -> Checked<String> {
        let name = found.trim_end_matches('.');
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(self.places.problem(
                key,
                format!("`{name}`"),
                "a host name of letters, digits, dashes and dots",
                "write it as \"vote.example.com\"",
            ));
        }
        if name.parse::<IpAddr>().is_ok() {
            let fix = "put the name that viewers' phones resolve; voteburst rehearses what DNS makes of it";
            return Err(self.places.problem(key, format!("the address {name}"), "a host name", fix));
        }
        Ok(format!("{}.", name.to_ascii_lowercase()))
    }

    pub(super) fn target(&self, words: &words::Target) -> Checked<(Target, String)> {
        let url = |found: &str| {
            let needed = "http://NAME[:PORT]/PATH or https://NAME[:PORT]/PATH";
            self.places.problem("target.url", format!("`{found}`"), needed, "write it as \"https://vote.example.com/vote\"")
        };
        let (scheme, rest) = match words.url.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            _ => return Err(url(&words.url)),
        };
        let (authority, path) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let default = if scheme == Scheme::Http { 80 } else { 443 };
        let (host, port) = match authority.split_once(':') {
            None => (authority, default),
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0).ok_or_else(|| url(&words.url))?),
        };
        if host.is_empty() || authority.contains(['@', '[', '#', ' ']) || path.contains(['#', ' ']) {
            return Err(url(&words.url));
        }
        if words.method.is_empty() || !words.method.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(self.places.problem(
                "target.method",
                format!("`{}`", words.method),
                "an HTTP method in capitals",
                "POST is usual",
            ));
        }
        let headers = words.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = RequestTemplate::new(&words.method, &path, authority, headers, &words.body)
            .map_err(|problem| self.template(&problem))?;
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(300));
        let accepted = words.accepted.iter().enumerate();
        let accepted: Vec<u16> = accepted
            .map(|(index, status)| Ok(self.whole(&format!("target.accepted[{index}]"), *status, 200, 599)? as u16))
            .collect::<Checked<_>>()?;
        if accepted.is_empty() {
            return Err(self.places.problem("target.accepted", "an empty list", "at least one status", "accepted = [200]"));
        }
        let target = Target {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
            request,
            accepted,
            connect_timeout: self.time("target.connect_timeout", words.connect_timeout, short, long)?,
            response_timeout: self.time("target.response_timeout", words.response_timeout, short, long)?,
            retry: self.retry(&words.retry)?,
            ca_file: words.ca_file.clone(),
        };
        Ok((target, host.to_owned()))
    }

    pub(super) fn template(&self, problem: &TemplateProblem) -> ScenarioProblem {
        match problem {
            TemplateProblem::UnknownPlaceholder(place, word) => {
                let fix = nearest(&word.to_ascii_lowercase(), &PLACEHOLDERS).map_or_else(
                    || format!("write {{{{{word}}}}} if the vote really holds {{{word}}}"),
                    |near| format!("did you mean {{{near}}}? Write {{{{{word}}}}} if the vote really holds {{{word}}}"),
                );
                let known = PLACEHOLDERS.map(|word| format!("{{{word}}}")).join(", ");
                self.places.problem(
                    &format!("target.{place}"),
                    format!("the placeholder {{{word}}}"),
                    format!("one of {known}"),
                    fix,
                )
            }
            TemplateProblem::Control(place) => {
                let fix = "remove line breaks and other control characters";
                self.places.problem(&format!("target.{place}"), "a control character", "text on one line", fix)
            }
            TemplateProblem::Reserved(name) => {
                let needed = "headers other than Host, Content-Length, Connection and Transfer-Encoding";
                self.places.problem(
                    &format!("target.headers.{name}"),
                    format!("the header {name}"),
                    needed,
                    "remove it: voteburst sets it",
                )
            }
            TemplateProblem::HeaderName(name) => {
                let needed = "an HTTP header name";
                self.places.problem(
                    "target.headers",
                    format!("`{name}`"),
                    needed,
                    "letters, digits and dashes make a header name",
                )
            }
        }
    }

    pub(super) fn retry(&self, words: &words::Retry) -> Checked<Retry> {
        Ok(Retry {
            attempts: self.whole("target.retry.attempts", words.attempts, 1, 20)?,
            backoff: self.time("target.retry.backoff", words.backoff, Duration::ZERO, Duration::from_secs(60))?,
            backoff_factor: self.number("target.retry.backoff_factor", words.backoff_factor, 1.0, 10.0)?,
            on: words.on.clone(),
        })
    }
}
