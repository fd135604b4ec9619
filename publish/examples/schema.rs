//! Writes the schemas that `docs/schema` publishes: `cargo run -p voteburst-publish --example schema`.

use std::{fs, io};

use voteburst_publish::schema;

fn main() -> io::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema");
    fs::create_dir_all(folder)?;
    let schemas =
        [("report-1.json", schema::report()), ("compare-1.json", schema::comparison()), ("diff-1.json", schema::diff())];
    for (name, schema) in schemas {
        fs::write(format!("{folder}/{name}"), format!("{schema:#}\n"))?;
    }
    Ok(())
}
