//! The published table as data.

/// A cell: over all trials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) mean: f64,
    pub(crate) p95: f64,
    pub(crate) idle: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) proxies: u8,
    pub(crate) carriers: u32,
    pub(crate) ttl_s: u32,
    /// Cold, warm.
    pub(crate) single: [Cell; 2],
    pub(crate) spread: [Cell; 2],
    pub(crate) peak_single: f64,
    pub(crate) peak_spread: f64,
}

/// What figures lose by being printed with two decimals, and idle proxies with one.
pub(crate) const ROUNDED: f64 = 0.005;
pub(crate) const IDLE_ROUNDED: f64 = 0.05;

impl Row {
    /// Over how many trials the table was made.
    pub(crate) fn trials(&self) -> f64 {
        match self.carriers {
            1 => 2_000.0,
            10 => 800.0,
            100 => 200.0,
            _ => 30.0,
        }
    }

    /// Share of the largest carrier: zipf with exponent 1.
    pub(crate) fn largest(&self) -> f64 {
        1.0 / (1..=self.carriers).map(|rank| 1.0 / f64::from(rank)).sum::<f64>()
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let lines = include_str!("table.md").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| k "));
    let rows: Vec<Row> = lines.map(row).collect();
    assert_eq!(rows.len(), 36);
    rows
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let number = |index: usize| cells[index].parse::<f64>().unwrap_or_else(|error| panic!("{error} in {line}"));
    let cell = |index: usize| {
        let parts: Vec<f64> =
            cells[index].split_whitespace().map(|part| part.trim_matches(['[', ']']).parse().expect("a number")).collect();
        let [mean, p95, idle] = parts[..] else { panic!("not three numbers in {line}") };
        Cell { mean, p95, idle }
    };
    Row {
        proxies: number(0) as u8,
        carriers: number(1) as u32,
        ttl_s: number(2) as u32,
        single: [cell(3), cell(4)],
        spread: [cell(5), cell(6)],
        peak_single: number(7),
        peak_spread: number(8),
    }
}
