//! Migrations are compiled in: a new file builds the program anew.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
