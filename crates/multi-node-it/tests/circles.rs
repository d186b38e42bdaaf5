//! Law 11: no import circle among the top-level modules of any crate. Read from the real paths that begin with `crate::`.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{File, Item, ItemMod, ItemUse, UseTree};

/// What each top-level module names of the others.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_crate_has_an_import_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut looked_at = 0;
    for folder in fs::read_dir(crates).expect("a folder").flatten() {
        for root in ["src/lib.rs", "src/main.rs"].map(|root| folder.path().join(root)) {
            if root.exists() {
                looked_at += 1;
                let circle = circle(&imports(&root));
                assert!(circle.is_none(), "{}: {}", root.display(), circle.unwrap_or_default().join(" → "));
            }
        }
    }
    assert!(looked_at > 5, "all crates are looked at");
}

/// The imports of a crate, by its root.
fn imports(root: &Path) -> Imports {
    let file = parse(root);
    let modules: BTreeSet<String> = file.items.iter().filter_map(declared).collect();
    let mut exports = BTreeMap::new();
    for item in &file.items {
        let Item::Use(ItemUse { tree, .. }) = item else { continue };
        let tree = match tree {
            UseTree::Path(path) if path.ident == "crate" || path.ident == "self" => &path.tree,
            tree => tree,
        };
        if let UseTree::Path(path) = tree {
            names(&path.tree).into_iter().for_each(|name| drop(exports.insert(name, path.ident.to_string())));
        }
    }
    let folder = root.parent().expect("a file is in a folder");
    let of = |module: &String| {
        let mut named = Named::default();
        files(folder, module).iter().for_each(|file| named.visit_file(&parse(file)));
        let owner = |name: String| exports.get(&name).cloned().unwrap_or(name);
        let others = named.0.into_iter().map(owner).filter(|name| name != module && modules.contains(name));
        (module.clone(), others.collect())
    };
    modules.iter().map(of).collect()
}

fn parse(path: &Path) -> File {
    let text = fs::read_to_string(path).expect("readable");
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The name of a module that has a file of its own and is no test.
fn declared(item: &Item) -> Option<String> {
    match item {
        Item::Mod(module) if module.content.is_none() && !is_test(module) => Some(module.ident.to_string()),
        _ => None,
    }
}

fn is_test(module: &ItemMod) -> bool {
    let is_cfg_test = |attribute: &syn::Attribute| {
        let meta = attribute.meta.require_list();
        attribute.path().is_ident("cfg") && meta.is_ok_and(|list| has_word(&list.tokens.to_string(), "test"))
    };
    module.attrs.iter().any(is_cfg_test)
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// The file of a module, and those of the modules in it that are no tests.
fn files(folder: &Path, module: &str) -> Vec<PathBuf> {
    let inner = folder.join(module);
    let named = [folder.join(format!("{module}.rs")), inner.join("mod.rs")];
    let Some(file) = named.into_iter().find(|file| file.exists()) else { return Vec::new() };
    let more = parse(&file).items.iter().filter_map(declared).collect::<Vec<_>>();
    let more = more.iter().flat_map(|module| files(&inner, module));
    std::iter::once(file).chain(more).collect()
}

/// All first names of a tree of `use`.
fn names(tree: &UseTree) -> Vec<String> {
    match tree {
        UseTree::Path(path) => vec![path.ident.to_string()],
        UseTree::Name(name) => vec![name.ident.to_string()],
        UseTree::Rename(rename) => vec![rename.ident.to_string(), rename.rename.to_string()],
        UseTree::Group(group) => group.items.iter().flat_map(names).collect(),
        UseTree::Glob(_) => Vec::new(),
    }
}

/// The names that come after `crate::`.
#[derive(Default)]
struct Named(BTreeSet<String>);

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(module) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if let UseTree::Path(path) = &item.tree
            && path.ident == "crate"
        {
            self.0.extend(names(&path.tree));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter().map(|segment| segment.ident.to_string());
        if segments.next().is_some_and(|first| first == "crate") {
            self.0.extend(segments.next());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // Documentation, and other texts, import nothing.
        let tokens = call.tokens.to_string().replace("\\\"", "");
        let tokens = tokens.split('"').step_by(2).collect::<String>().replace(' ', "");
        let named = tokens.split("crate::").skip(1);
        self.0.extend(
            named.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)),
        );
        syn::visit::visit_macro(self, call);
    }
}

/// A way from a module back to itself.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| find(imports, module, &mut Vec::new(), &mut done))
}

fn find(imports: &Imports, module: &str, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if let Some(begin) = way.iter().position(|passed| passed == module) {
        return Some([&way[begin..], &[module.to_owned()]].concat());
    }
    if done.contains(module) {
        return None;
    }
    way.push(module.to_owned());
    let found = imports.get(module).into_iter().flatten().find_map(|next| find(imports, next, way, done));
    way.pop();
    done.insert(module.to_owned());
    found
}

#[test]
fn a_circle_is_found() {
    let import = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|name| (*name).to_owned()).collect());
    let straight = Imports::from([import("a", &["b", "c"]), import("b", &["c"]), import("c", &[])]);
    assert_eq!(circle(&straight), None);
    let round = Imports::from([import("a", &["b"]), import("b", &["c"]), import("c", &["b"])]);
    assert_eq!(circle(&round), Some(["b", "c", "b"].map(str::to_owned).to_vec()));
}

#[test]
fn every_form_of_import_is_read() {
    let text = "
        use crate::{a, b::{c, d}};
        fn f(x: crate::e::T) -> u8 { crate::f::g!(x, crate::h::i()); crate::j::K }
        #[cfg(test)] mod tests { use crate::l; }
        #[cfg(all(test, unix))] mod more { use crate::m; }
    ";
    let mut named = Named::default();
    named.visit_file(&syn::parse_file(text).expect("Rust"));
    assert_eq!(named.0.into_iter().collect::<Vec<_>>().join(" "), "a b e f h j");
}
