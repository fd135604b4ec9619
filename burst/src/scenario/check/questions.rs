//! The questions: choices, windows and arrival shapes.

use super::*;

impl Check<'_> {
    pub(super) fn questions(
        &self,
        words: &mut [words::Question],
        read: &dyn Fn(&str) -> io::Result<String>,
    ) -> Checked<Vec<Question>> {
        if words.is_empty() || words.len() > 1_000 {
            return Err(self.places.problem(
                "questions",
                format!("{} questions", words.len()),
                "1 to 1,000",
                "begin each with [[questions]]",
            ));
        }
        let mut questions: Vec<Question> = Vec::with_capacity(words.len());
        for (index, words) in words.iter_mut().enumerate() {
            let question = self.question(&format!("questions[{index}]"), words, read)?;
            if questions.iter().any(|known| known.id == question.id) {
                let key = format!("questions[{index}].id");
                return Err(self.places.problem(
                    &key,
                    format!("`{}` a second time", question.id),
                    "ids that differ",
                    "rename one of them",
                ));
            }
            questions.push(question);
        }
        Ok(questions)
    }

    pub(super) fn question(
        &self,
        key: &str,
        words: &mut words::Question,
        read: &dyn Fn(&str) -> io::Result<String>,
    ) -> Checked<Question> {
        let window = self.time(&format!("{key}.window"), words.window, Duration::from_millis(100), HOUR)?;
        let grace = words
            .grace
            .map(|grace| self.time(&format!("{key}.grace"), grace, Duration::ZERO, Duration::from_secs(60)))
            .transpose()?;
        let opens_at = words.opens_at.map(|at| self.time(&format!("{key}.opens_at"), at, Duration::ZERO, HOUR)).transpose()?;
        if words.choices.is_empty() || words.choices.len() > 1_000 {
            let found = format!("{} choices", words.choices.len());
            return Err(self.places.problem(&format!("{key}.choices"), found, "1 to 1,000", "choices = { yes = 0.6, no = 0.4 }"));
        }
        self.shares(&format!("{key}.choices"), words.choices.values().copied())?;
        let choice = |(id, share): (&String, &f64)| Ok(Choice { id: self.id(&format!("{key}.choices"), id)?, share: *share });
        Ok(Question {
            id: self.id(&format!("{key}.id"), &words.id)?,
            opens_at: opens_at.unwrap_or_default(),
            window,
            grace: grace.unwrap_or_default(),
            arrivals: self.arrivals(&format!("{key}.arrivals"), &mut words.arrivals, window, read)?,
            turnout: self.number(&format!("{key}.turnout"), words.turnout, 0.0, 1.0)?,
            choices: words.choices.iter().map(choice).collect::<Checked<_>>()?,
        })
    }

    pub(super) fn arrivals(
        &self,
        key: &str,
        words: &mut words::Arrivals,
        window: Duration,
        read: &dyn Fn(&str) -> io::Result<String>,
    ) -> Checked<Shape> {
        let used: &[&str] = match words.shape {
            words::ShapeName::AllAtOnce | words::ShapeName::Uniform => &[],
            words::ShapeName::ExponentialDecay => &["mean"],
            words::ShapeName::LogNormal => &["median", "sigma"],
            words::ShapeName::Trace => &["file", "offsets_us"],
        };
        let written = [
            ("mean", words.mean.is_some()),
            ("median", words.median.is_some()),
            ("sigma", words.sigma.is_some()),
            ("file", words.file.is_some()),
            ("offsets_us", words.offsets_us.is_some()),
        ];
        self.only(key, used, &written)?;
        let shape = match words.shape {
            words::ShapeName::AllAtOnce => Shape::AllAtOnce,
            words::ShapeName::Uniform => Shape::Uniform,
            words::ShapeName::ExponentialDecay => {
                Shape::ExponentialDecay { mean: self.given(&format!("{key}.mean"), words.mean)? }
            }
            words::ShapeName::LogNormal => Shape::LogNormal {
                median: self.given(&format!("{key}.median"), words.median)?,
                sigma: self.sigma(key, words.sigma)?,
            },
            words::ShapeName::Trace => self.trace(key, words, window, read)?,
        };
        let inside = shape.inside(window);
        if inside < LEAST_INSIDE {
            let found = format!("a shape of which {:.2} % falls into the window", inside * 100.0);
            return Err(self.places.problem(key, found, "at least 1 %", "make the window longer, or the shape's time shorter"));
        }
        Ok(shape)
    }

    pub(super) fn trace(
        &self,
        key: &str,
        words: &mut words::Arrivals,
        window: Duration,
        read: &dyn Fn(&str) -> io::Result<String>,
    ) -> Checked<Shape> {
        let offsets = match (&words.offsets_us, words.file.take()) {
            (Some(_), Some(_)) | (None, None) => {
                return Err(self.places.problem(
                    key,
                    "no single trace",
                    "`file` or `offsets_us`",
                    "file = \"votes.txt\", one offset in seconds on each line",
                ));
            }
            (Some(offsets), None) => offsets.clone(),
            (None, Some(file)) => {
                let key = format!("{key}.file");
                let text = read(&file).map_err(|error| {
                    self.places.problem(
                        &key,
                        format!("`{file}`, which cannot be read: {error}"),
                        "a readable text file",
                        "the path counts from the scenario's folder",
                    )
                })?;
                self.offsets(&key, &file, &text)?
            }
        };
        let end = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        if let Some((line, late)) = offsets.iter().enumerate().find(|(_, offset)| **offset >= end) {
            let found = format!("offset {} s (number {})", *late as f64 / 1e6, line + 1);
            let needed = format!("offsets below the window of {}", humantime::format_duration(window));
            return Err(self.places.problem(key, found, needed, "make the window longer, or cut the trace"));
        }
        if offsets.is_empty() || offsets.len() > MOST_VIEWERS as usize {
            let needed = format!("1 to {MOST_VIEWERS} offsets");
            return Err(self.places.problem(
                key,
                format!("{} offsets", offsets.len()),
                needed,
                "one offset in seconds on each line",
            ));
        }
        // From here on the offsets themselves are the trace: agents have no such file.
        words.offsets_us = Some(offsets.clone());
        Ok(Shape::Trace { offsets_us: offsets.into() })
    }

    pub(super) fn offsets(&self, key: &str, file: &str, text: &str) -> Checked<Vec<u64>> {
        let lines =
            text.lines().enumerate().map(|(number, line)| (number + 1, line.split('#').next().unwrap_or_default().trim()));
        lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(number, line)| {
                let seconds = line.parse::<f64>().ok().filter(|seconds| (0.0..=HOUR.as_secs_f64()).contains(seconds));
                seconds.map(|seconds| (seconds * 1e6).round() as u64).ok_or_else(|| {
                    let found = format!("`{line}` in {file}, line {number}");
                    self.places.problem(
                        key,
                        found,
                        "a number of seconds from 0 to 3600",
                        "write one offset on each line, such as 12.345; # begins a comment",
                    )
                })
            })
            .collect()
    }
}
