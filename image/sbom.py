"""The bill of materials: SPDX 2.3 JSON of exactly what the initramfs and the ESP hold. Used by `image.image`."""

import datetime
import fnmatch
import hashlib
import json
import uuid

from image import firmware, rootfs
from image.modules import unpacked
from image.paths import ROOTFS, BuildError, commit_time

# SPDX expression of each Debian package's files that are in the image, from its usr/share/doc/PACKAGE/copyright.
LICENCES = {
    "e2fsprogs": "GPL-2.0-only",
    "libaio1t64": "LGPL-2.1-or-later",
    "libb2-1": "CC0-1.0",
    "libblkid1": "LGPL-2.1-or-later",
    "libc6": "LGPL-2.1-or-later",
    "libcom-err2": "MIT",
    "libext2fs2t64": "GPL-2.0-only AND LGPL-2.0-only",
    "libffi8": "MIT",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgomp1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libisal2": "BSD-3-Clause",
    "liblmdb0": "OLDAP-2.8",
    "librsync2t64": "LGPL-2.1-or-later",
    "libmbedcrypto16": "Apache-2.0 OR GPL-2.0-or-later",
    "libmbedtls21": "Apache-2.0 OR GPL-2.0-or-later",
    "libssl3t64": "Apache-2.0",
    "libmbedx509-7": "Apache-2.0 OR GPL-2.0-or-later",
    "libuuid1": "BSD-3-Clause",
    "libzstd1": "BSD-3-Clause OR GPL-2.0-only",
    "linux-image": "GPL-2.0-only WITH Linux-syscall-note",
    "micropython": "MIT",
    "systemd-boot-efi": "LGPL-2.1-or-later",
    "zlib1g": "Zlib",
}
OURS = "Apache-2.0"


def licence(package: str) -> str:
    """Raises BuildError for a package that the table does not know: somebody has to read its copyright file."""
    name = "linux-image" if package.startswith("linux-image") else package
    if name not in LICENCES:
        raise BuildError(
            "%s is in the image but not in image/sbom.py: add its licence from usr/share/doc/%s/copyright" % (package, package)
        )
    return LICENCES[name]


def owner(path: str, packages: dict) -> str:
    """Debian package that brought `path` (relative to the rootfs). Raises BuildError."""
    for name, package in packages.items():
        for listed in package["files"]:
            if path == listed or "*" in listed and fnmatch.fnmatch(path, listed):
                return name
    raise BuildError("no package owns %s: delete build/rootfs and try again" % path)


def _package(spdx_id: str, name: str, version: str, supplier: str, expression: str, purl: str) -> dict:
    made = {
        "SPDXID": spdx_id,
        "name": name,
        "versionInfo": version,
        "supplier": supplier,
        "filesAnalyzed": False,
        "downloadLocation": "NOASSERTION",
        "licenseConcluded": expression,
        "licenseDeclared": expression,
        "copyrightText": "NOASSERTION",
    }
    if purl:
        made["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl},
        ]
    return made


def _debian(name: str, package: dict) -> dict:
    purl = "pkg:deb/debian/%s@%s?arch=%s" % (name, package["version"].replace("+", "%2B"), package["architecture"])
    return _package(_id("Package", name), name, package["version"], "Organization: Debian", licence(name), purl)


def _id(kind: str, name: str) -> str:
    """SPDX ids are letters, digits, dots and hyphens."""
    plain = "".join(char if char.isalnum() or char in ".-" else "-" for char in name)
    return "SPDXRef-%s-%s-%s" % (kind, plain, hashlib.sha256(name.encode()).hexdigest()[:8])


def _file(path: str, data: bytes, expression: str) -> dict:
    return {
        "SPDXID": _id("File", path),
        "fileName": "./" + path,
        "licenseConcluded": expression,
        "licenseInfoInFiles": ["NOASSERTION"],
        "copyrightText": "NOASSERTION",
        "checksums": [
            # SHA-1 is what SPDX 2.3 clause 8.4 requires.
            {"algorithm": "SHA1", "checksumValue": hashlib.sha1(data).hexdigest()},
            {"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()},
        ],
    }


def _link(one: str, kind: str, other: str) -> dict:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def build(origins: dict, own: dict) -> str:
    """`origins`: {path in the image: path in the rootfs}, `own`: {path in the image: content} of what this project made."""
    packages = rootfs.inventory()["packages"]
    version = firmware.version()
    product = _id("Package", "bobbin")
    described = [_package(product, "bobbin", version, "NOASSERTION", OURS, "")]
    links = [_link("SPDXRef-DOCUMENT", "DESCRIBES", product)]
    files = []
    for path in sorted(own):
        files.append(_file(path, own[path], OURS))
        links.append(_link(product, "CONTAINS", files[-1]["SPDXID"]))
    used = {}
    for path in sorted(origins):
        name = owner(origins[path], packages)
        used.setdefault(name, []).append(path)
    for name in sorted(used):
        described.append(_debian(name, packages[name]))
        links.append(_link(product, "CONTAINS", described[-1]["SPDXID"]))
        for path in used[name]:
            files.append(_file(path, unpacked(ROOTFS / origins[path]), licence(name)))
            links.append(_link(described[-1]["SPDXID"], "CONTAINS", files[-1]["SPDXID"]))
    return _document(version, described, files, links)


def _document(version: str, packages: list, files: list, links: list) -> str:
    content = {"packages": packages, "files": files, "relationships": links}
    # The namespace has to be unique to the content; a name-based UUID makes the same content give the same document.
    unique = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    created = datetime.datetime.fromtimestamp(commit_time(), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "bobbin-" + version,
        "documentNamespace": "urn:uuid:%s" % unique,
        "creationInfo": {"created": created, "creators": ["Tool: bobbin-image-" + version]},
    }
    return json.dumps(dict(head, **content), indent=1) + "\n"
