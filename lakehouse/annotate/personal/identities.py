"""National identity, social security and tax numbers of people."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lakehouse.annotate.personal.spans import LETTERS, Span


@dataclass(frozen=True)
class Identity:
    """A country's number for people.

    Attributes:
        kind: name of the number, which begins with the country's code: us_ssn.
        module: the module of python-stdnum that validates it; "" where its form is all there is to check.
        distinctive: forms that are enough, together with the checks.
        plain: forms that need one of `words` before them.
        words: names of the number, in lower case.
    """

    kind: str
    module: str
    distinctive: str
    plain: str
    words: tuple[str, ...]

    @property
    def country(self) -> str:
        """ISO 3166 code of the country."""
        return self.kind[:2].upper()


def _table(rows: str) -> tuple[Identity, ...]:
    identities = []
    for row in rows.strip().splitlines():
        kind, module, distinctive, plain, words = (cell.strip() for cell in row.split(" | "))
        identities.append(Identity(kind, module, distinctive, plain, tuple(words.split(", "))))
    return tuple(identities)


# Kind, validating module, forms that are enough, forms that need a word, words. `d` is a digit, `A` a letter, `~` an
# optional space, dot or dash; `-`, `.`, `/` and `_` (a space) stand for themselves; `,` separates forms.
IDENTITIES = _table(
    """
    us_ssn | us.ssn | ddd-dd-dddd | d{9},ddd_dd_dddd,ddd.dd.dddd | ssn, ss#, social security
    us_itin | us.itin | 9dd-dd-dddd | 9d{8},9dd_dd_dddd | itin, taxpayer identification
    gb_nino |  | AA_dd_dd_dd_[A-D] | AAdddddd[A-D],AA-dd-dd-dd-[A-D] | nino, national insurance, ni number, ni no
    gb_nhs | gb.nhs |  | ddd~ddd~dddd | nhs
    ca_sin | ca.sin |  | ddd~ddd~ddd | sin, social insurance, assurance sociale
    au_tfn | au.tfn |  | ddd~ddd~ddd | tfn, tax file
    ie_pps | ie.pps |  | d{7}[A-W][A-IW]? | pps, ppsn, personal public service
    nz_ird | nz.ird |  | dd?d?-?ddd-?ddd | ird
    za_idnr | za.idnr |  | d{13},d{6}~dddd~dd~d | id number, identity number, id no
    in_aadhaar | in_.aadhaar |  | dddd~dddd~dddd | aadhaar, aadhar, uidai, आधार
    in_pan | in_.pan | AAA[PH]AddddA | AAAAAddddA | pan, permanent account
    de_idnr | de.idnr |  | dd~ddd~ddd~ddd | steuer-id, steuerid, idnr, identifikationsnummer, steuernummer, steuer-idnr
    fr_nir | fr.nir | [12]_dd_dd_d[0-9AB]_ddd_ddd_dd | [12]d{5}[0-9AB]d{8} | sécurité sociale, insee, nir
    es_dni | es.dni |  | d{8}-?A,dd.ddd.ddd-?A | dni, nif, identidad
    es_nie | es.nie | [XYZ]-d{7}-A | [XYZ]d{7}A | nie, extranjero
    it_codicefiscale | it.codicefiscale | A{6}ddAddAdddA |  | codice fiscale
    pt_cc | pt.cc | d{8}_d_[A-Z0-9]{2}d | d{8}d[A-Z0-9]{2}d | cartão de cidadão
    nl_bsn | nl.bsn |  | d{9},dddd~dd~ddd | bsn, burgerservicenummer, sofinummer, sofi
    be_nn | be.nn | dd.dd.dd-ddd.dd | dd~dd~dd~ddd~dd | rijksregisternummer, registre national, rrn, insz, niss
    ch_ssn | ch.ssn | 756.dddd.dddd.dd | 756d{10} | ahv, avs, avs-nr
    pl_pesel | pl.pesel |  | d{11} | pesel
    se_personnummer | se.personnummer | d{6}[-+]dddd,(?:19|20)d{6}-dddd | d{10},(?:19|20)d{10} | personnummer, pnr
    fi_hetu | fi.hetu | d{6}[-+A]dddA,d{6}[-+A]dddd |  | henkilötunnus, hetu
    dk_cpr | dk.cpr |  | d{6}-?dddd | cpr, personnummer
    no_fodselsnummer | no.fodselsnummer |  | d{6}_?d{5} | fødselsnummer, personnummer, fnr
    is_kennitala | is_.kennitala |  | d{6}-?dddd | kennitala, kt
    cz_rc | cz.rc | d{6}/dddd | d{9},d{10} | rodné číslo, rč, r.č
    sk_rc | sk.rc | d{6}/dddd | d{9},d{10} | rodné číslo
    ro_cnp | ro.cnp |  | d{13} | cnp, cod numeric personal
    bg_egn | bg.egn |  | d{10} | егн, egn
    hr_oib | hr.oib |  | d{11} | oib
    si_emso | si.emso |  | d{13} | emšo, emso, jmbg
    lt_asmens | lt.asmens |  | d{11} | asmens kodas, a.k
    ee_ik | ee.ik |  | d{11} | isikukood
    gr_amka | gr.amka |  | d{11} | αμκα, amka
    ua_rntrc | ua.rntrc |  | d{10} | рнокпп, іпн
    ru_inn | ru.inn |  | d{12} | инн, inn
    tr_tckimlik | tr.tckimlik |  | d{11} | t.c., tc kimlik, kimlik no, tckn
    il_idnr | il.idnr |  | d{7}d?-?d | ת.ז, תעודת זהות, teudat zehut
    br_cpf | br.cpf | ddd.ddd.ddd-dd | d{11} | cpf
    mx_curp | mx.curp | A{4}d{6}[HM]A{5}[A-Z0-9]d |  | curp
    ar_dni | ar.dni |  | dd?.ddd.ddd,d{7}d? | dni
    ar_cuit | ar.cuit | dd-d{8}-d | d{11} | cuit, cuil
    cl_rut | cl.rut | dd?.ddd.ddd-[0-9Kk] | d{7}d?-?[0-9Kk] | rut
    ec_ci | ec.ci |  | d{10} | cédula, cedula
    cn_ric | cn.ric | [1-8]d{5}(?:19|20)d{9}[0-9Xx] |  | 身份证
    kr_rrn | kr.rrn | d{6}-[0-9]d{6} | d{13} | 주민등록번호, 주민번호
    jp_in | jp.in_ |  | dddd~dddd~dddd | マイナンバー, 個人番号
    th_pin | th.pin | d-dddd-ddddd-dd-d | d{13} | เลขประจำตัวประชาชน
    my_nric | my.nric |  | d{6}-?dd-?dddd | nric, mykad, kad pengenalan, ic no
    id_nik | id.nik |  | d{16} | nik, ktp
    pk_cnic | pk.cnic | d{5}-d{7}-d | d{13} | cnic
    """
)
KINDS = tuple(identity.kind for identity in IDENTITIES)

_START, _END = rf"(?<![{LETTERS}_.])(?<![{LETTERS}_][-/])", rf"(?![{LETTERS}_]|[-./][0-9])"
_CONTEXT = 48  # characters
_NATIONAL_INSURANCE = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ|[DFIQUV]|.[DFIOQUV])[A-Z]{2}\d{6}[A-D]")


def _pattern(forms: str) -> str:
    written = {"d": "[0-9]", "A": "[A-Za-z]", "~": r"[ \u00a0.-]?", ".": r"\.", "_": r"[ \u00a0]"}
    patterns = []
    for form in forms.split(",") if forms else []:
        pieces = re.findall(r"\[[^]]*\]|\(\?:[^)]*\)|\{\d+\}|.", form)
        patterns.append("".join(written.get(piece, piece) for piece in pieces))
    return "|".join(patterns)


@dataclass(frozen=True)
class Finder:
    """Finds the numbers of some countries. `find` is its one method."""

    identities: tuple[Identity, ...]
    distinctive: re.Pattern[str]
    words: re.Pattern[str]

    def find(self, text: str, start: int, end: int, countries: Sequence[str]) -> Iterator[Span]:
        """The numbers between two places, each once: where several countries have such a number, the one whose name
        stands before it, else the one that comes first in `countries`, else in the table.
        """
        before = text[max(0, start - _CONTEXT) : start].lower()
        named = {match[0] for match in self.words.finditer(before)}
        plain = [identity for identity in self.identities if not named.isdisjoint(identity.words)] if named else []
        found: dict[tuple[int, int], list[Identity]] = {}
        for match in self.distinctive.finditer(text, max(0, start - 3), min(len(text), end + 4)):
            for identity in self.identities:
                if _form(identity.kind, False).fullmatch(match[0]) and _is_valid(identity, match[0]):
                    found.setdefault(match.span(), []).append(identity)
        for identity in plain:
            for match in _form(identity.kind, True).finditer(text, max(0, start - 3), min(len(text), end + 4)):
                if _is_valid(identity, match[0]):
                    found.setdefault(match.span(), []).append(identity)
        for span, candidates in found.items():
            best = min(candidates, key=lambda identity: (identity not in plain, _place(identity.country, countries)))
            yield Span(*span, best.kind)


def _place(country: str, countries: Sequence[str]) -> int:
    return countries.index(country) if country in countries else len(countries)


@functools.cache
def finder(countries: tuple[str, ...] | None) -> Finder:
    """The finder of the numbers of these countries, or of all in the table."""
    identities = tuple(identity for identity in IDENTITIES if countries is None or identity.country in countries)
    forms = "|".join(_pattern(identity.distinctive) for identity in identities if identity.distinctive)
    words = sorted({word for identity in identities for word in identity.words}, key=len, reverse=True)
    return Finder(
        identities,
        re.compile(rf"{_START}(?:{forms or '(?!)'}){_END}"),
        re.compile(rf"(?<![{LETTERS}_])(?:{'|'.join(map(re.escape, words)) or '(?!)'})(?![a-z\u00c0-\u05ff])"),
    )


@functools.cache
def _form(kind: str, plain: bool) -> re.Pattern[str]:
    identity = IDENTITIES[KINDS.index(kind)]
    forms = [_pattern(identity.distinctive), _pattern(identity.plain) if plain else ""]
    return re.compile(rf"{_START}(?:{'|'.join(filter(None, forms)) or '(?!)'}){_END}")


def _is_valid(identity: Identity, written: str) -> bool:
    compact = re.sub(r"[\s\u00a0.]", "", written)
    if not identity.module:
        return _NATIONAL_INSURANCE.fullmatch(compact.replace("-", "").upper()) is not None
    figures = re.sub(r"\D", "", compact)
    if len(set(figures)) < 3:
        return False
    return _validator(identity.module)(compact if identity.kind != "fr_nir" else re.sub(r"\s", "", written))


@functools.cache
def _validator(module: str) -> Callable[[str], bool]:
    return importlib.import_module(f"stdnum.{module}").is_valid
