//! Words and figures as a page shows them. Whatever is not ours passes through [`text`] or [`json`] on its way into the page.

use std::fmt::Write as _;

use serde_json::Value;
use voteburst_coordinator::report::terminal::thousands;

/// What stands where there is nothing to say.
pub(super) const NOTHING: &str = "–";

/// Text as HTML shows it, in content and in quoted attributes. Control characters, which HTML forbids, become spaces.
pub(super) fn text(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for character in plain.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// JSON for a `<script type="application/json">`: without a character that could end the element or begin a comment in it.
pub(super) fn json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// A share in [0, 1] as per cent.
pub(super) fn percent(share: f64) -> String {
    // A share just below one must not read as all of it, nor the least failure as none.
    let figure = share * 100.0;
    let digits = if (figure > 99.9 && figure < 100.0) || (figure > 0.0 && figure < 0.1) { 3 } else { 1 };
    format!("{figure:.digits$} %")
}

/// A part of a whole as per cent; nothing of nothing is nothing to say.
pub(super) fn part(part: u64, whole: u64) -> String {
    if whole == 0 { NOTHING.into() } else { percent(part as f64 / whole as f64) }
}

/// Milliseconds with three digits that mean something.
pub(super) fn millis(figure: Option<f64>) -> String {
    match figure {
        None => NOTHING.into(),
        Some(figure) if figure.abs() < 1.0 => format!("{figure:.3}"),
        Some(figure) if figure.abs() < 100.0 => format!("{figure:.1}"),
        Some(figure) => format!("{}{}", if figure < 0.0 { "-" } else { "" }, thousands(figure.abs().round() as u64)),
    }
}

/// A table: its caption, its columns, its rows of plain text. The first column names the row; columns marked `<` hold words.
pub(super) fn table(caption: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut out = format!("<div class=\"scroll\" tabindex=\"0\"><table><caption>{}</caption><thead><tr>", text(caption));
    let side = |column: usize| if columns[column].starts_with('<') { " class=\"w\"" } else { "" };
    for (place, name) in columns.iter().enumerate() {
        push(&mut out, format_args!("<th scope=\"col\"{}>{}</th>", side(place), text(name.trim_start_matches('<'))));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            if place == 0 {
                push(&mut out, format_args!("<th scope=\"row\">{}</th>", text(cell)));
            } else {
                push(&mut out, format_args!("<td{}>{}</td>", side(place), text(cell)));
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Writes into memory, which takes everything.
pub(super) fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    if out.write_fmt(what).is_err() {
        unreachable!("memory refuses text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_in_html_is_left() {
        assert_eq!(
            text("</script><img src=x onerror='a(\"b\")'>&amp;\u{1b}[31m\u{1}"),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;amp; [31m "
        );
        let hostile = Value::from("</script><!--<script>&");
        assert_eq!(json(&hostile), r#""\u003c/script\u003e\u003c!--\u003cscript\u003e\u0026""#);
        assert_eq!(serde_json::from_str::<Value>(&json(&hostile)).unwrap(), hostile);
    }

    #[test]
    fn the_least_failure_never_reads_as_none() {
        let table = [(0.0, "0.0 %"), (0.000_02, "0.002 %"), (0.5, "50.0 %"), (0.999_99, "99.999 %"), (1.0, "100.0 %")];
        for (share, told) in table {
            assert_eq!(percent(share), told);
        }
        assert_eq!(part(0, 0), NOTHING);
    }

    #[test]
    fn milliseconds_keep_the_digits_that_tell_something() {
        let table =
            [(None, NOTHING), (Some(0.0213), "0.021"), (Some(21.85), "21.9"), (Some(8946.2), "8,946"), (Some(-1234.0), "-1,234")];
        for (figure, told) in table {
            assert_eq!(millis(figure), told);
        }
    }
}
