//! A lane for each proxy.

use ratatui::text::{Line, Span};
use voteburst_coordinator::live::LiveProxy;

use super::super::look::{Fill, bar, bold, count, cut, cut_start, dim, mark, millis, percent, rate};
use super::super::picture::Picture;

/// An IPv4 address fits.
const ADDRESS: usize = 15;
/// From this width on lanes have the columns of the second kind too.
const MORE_COLUMNS: usize = 96;

/// How wide what is.
#[derive(Clone, Copy)]
struct Columns {
    address: usize,
    bar: usize,
    more: bool,
}

impl Columns {
    fn of(picture: &Picture, width: usize) -> Self {
        let more = width >= MORE_COLUMNS;
        // All but address and bar, with the spaces between.
        let rest = if more { 72 } else { 52 };
        let longest = picture.live.proxies.iter().map(|proxy| proxy.address.len()).max().unwrap_or(0);
        let address = longest.clamp(ADDRESS, width.saturating_sub(rest + 8).max(ADDRESS));
        Self { address, bar: width.saturating_sub(rest + address).clamp(4, 40), more }
    }
}

/// A heading and the lanes, in so many rows; what does not fit is summed up in the last one.
pub(super) fn lines(picture: &Picture, width: usize, rows: usize) -> Vec<Line<'static>> {
    let proxies = &picture.live.proxies;
    if rows < 2 {
        return Vec::new();
    }
    let columns = Columns::of(picture, width);
    let mut lines = vec![heading(proxies, columns)];
    if proxies.is_empty() {
        lines.push(Line::styled("no proxy is known yet", dim()));
        return lines;
    }
    let fits = if proxies.len() < rows { proxies.len() } else { rows - 2 };
    let first = picture.scrolled.min(proxies.len() - fits);
    let scale = scale(proxies);
    let shown = proxies.iter().enumerate().skip(first).take(fits);
    lines.extend(shown.map(|(index, proxy)| lane(picture, columns, (index, proxy), scale)));
    if fits < proxies.len() {
        let hidden: Vec<_> = proxies[..first].iter().chain(&proxies[first + fits..]).collect();
        lines.push(rest(picture, &hidden));
    }
    lines
}

/// What bars are held against where no limit is known, and shares in any case.
#[derive(Clone, Copy)]
struct Scale {
    all: u64,
    most: u64,
}

fn scale(proxies: &[LiveProxy]) -> Scale {
    let open = || proxies.iter().map(|proxy| proxy.open);
    Scale { all: open().sum(), most: open().max().unwrap_or(0) }
}

fn heading(proxies: &[LiveProxy], columns: Columns) -> Line<'static> {
    let limit = proxies.iter().find_map(|proxy| proxy.limit);
    let Columns { address, bar, more } = columns;
    let of_limit = cut(&limit.map_or_else(|| "limit unknown".into(), |limit| format!("limit {}", count(limit))), bar);
    let mut text = format!(
        "  {:<address$} {:>7} {:>6} {of_limit:<bar$} {:>5}      {:>7} {:>7} {:>6}",
        "proxy",
        "open",
        "share",
        "",
        "acc/s",
        "failed",
        "dns/s",
        bar = bar
    );
    if more {
        text += &format!(" {:>8} {:>10}", "refused", "p99");
    }
    Line::styled(text, bold())
}

fn lane(picture: &Picture, columns: Columns, (index, proxy): (usize, &LiveProxy), scale: Scale) -> Line<'static> {
    let full = proxy.limit.filter(|limit| *limit > 0).map(|limit| proxy.open as f64 / limit as f64);
    let (filled, empty) = bar(full.unwrap_or_else(|| proxy.open as f64 / scale.most.max(1) as f64), columns.bar);
    let fill = full.map_or(Fill::Room, Fill::of);
    let speed = |of: fn(&LiveProxy) -> u64| rate(picture.proxy_rate(&proxy.address, of));
    let accepted = if picture.votes() { speed(|proxy| proxy.accepted) } else { "-".into() };
    let share = percent(proxy.open as f64 / scale.all.max(1) as f64);
    let address = cut_start(&proxy.address, columns.address);
    let mut behind = format!(" {accepted:>7} {:>7} {:>6}", count(proxy.failed), speed(|proxy| proxy.dns_answers));
    if columns.more {
        let p99 = if proxy.response.count > 0 { millis(proxy.response.p99_ms) } else { "-".into() };
        behind += &format!(" {:>8} {p99:>10}", count(proxy.refused));
    }
    let style = fill.style(picture.colours);
    Line::from(vec![
        mark(index, picture.colours),
        Span::raw(format!(" {address:<width$} {:>7} {share:>6} ", count(proxy.open), width = columns.address)),
        Span::styled(filled, style),
        Span::styled(empty, dim()),
        Span::styled(format!(" {:>5} {:<4}", full.map_or_else(|| "-".into(), percent), fill.word()), style),
        Span::raw(behind),
    ])
}

/// The proxies that have no lane, together.
fn rest(picture: &Picture, hidden: &[&LiveProxy]) -> Line<'static> {
    let sum = |of: fn(&LiveProxy) -> u64| hidden.iter().map(|proxy| of(proxy)).sum::<u64>();
    let mut text = format!("… and {} more:", hidden.len());
    let share = |proxy: &&LiveProxy| proxy.limit.filter(|limit| *limit > 0).map(|limit| proxy.open as f64 / limit as f64);
    let fullest = hidden.iter().filter_map(|proxy| Some((*proxy, share(proxy)?))).max_by(|one, other| one.1.total_cmp(&other.1));
    let mut style = bold();
    if let Some((proxy, share)) = fullest {
        let fill = Fill::of(share);
        text += &format!(" fullest {} {} {},", proxy.address, percent(share), fill.word()).replace(" ,", ",");
        if fill != Fill::Room {
            style = fill.style(picture.colours);
        }
    }
    text += &format!(" {} open", count(sum(|proxy| proxy.open)));
    if picture.votes() {
        text += &format!(", {} accepted, {} failed", count(sum(|proxy| proxy.accepted)), count(sum(|proxy| proxy.failed)));
    }
    Line::styled(text, style)
}
