"""Names by which tables call the columns of images, labels, groups and parts of a split.

Names are compared in small letters, without what is neither letter nor digit: ``Patient ID`` is
``patientid``.
"""

import re

from data.config import Unit
from data.names import one_spelling
from data.published_parts import side_of_part

_NO_LETTER = re.compile(r"[\W_]+")


def _keys(names: str) -> tuple[str, ...]:
    return tuple(names.split())


#: Names of columns for images, the likeliest first.
PATHS = _keys(
    "path filepath imagepath imgpath filename imagefilename imagefile imagename image images "
    "imageid imgname img imgid file fileid isicid isicname dateiname datei bild photo picture "
    "dicom dicomid sopinstanceuid name id"
)
#: Names of columns for labels, the likeliest first.
LABELS = _keys(
    "label labels class classname classlabel classid target targets diagnosis dx diagnose "
    "diagnostic category finding findings findinglabel findinglabels groundtruth gt "
    "benignmalignant malignancy pathology disease condition diagnosis1 diagnosis2 klasse befund "
    "outcome result grade celltype lesiontype tumortype subtype annotation truth y"
)
#: Names of columns for patients, then of other words for them.
PATIENTS = _keys(
    "patient patients patientid patientids patientname patientnumber patientno patientnr "
    "patientnum patientcode patientkey patientuid pid ptid subject subjectid subjectno subjects "
    "subjectcode person personid mrn participant participantid individual individualid donor "
    "donorid proband patientennummer patientenid"
)
CASES = _keys("group groupid case caseid caseno casenumber fall fallnummer study studyid")
LESIONS = _keys("lesion lesionid lesionno lesionnumber")
GROUPS = (*PATIENTS, *CASES, *LESIONS)
#: Names of columns for the publisher's part of an image.
PARTS = _keys("split fold partition subset set part phase dataset usage")
#: Names of columns with facts on a patient or a photograph that are no labels.
OTHERS = _keys(
    "age ageapprox sex gender site localization localisation location anatomsite "
    "anatomsitegeneral anatomsitegeneralchallenge anatomsitespecial bodypart bodysite view "
    "viewposition laterality side eye date time year width height size source device camera "
    "scanner machine magnification modality center centre hospital institution license "
    "copyrightlicense attribution imagetype dermoscopictype melanocytic skintype "
    "fitzpatrickskintype ethnicity race dxtype diagnosisconfirmtype patientage patientsex "
    "patientgender batch quality format extension"
)


def key(name: str) -> str:
    """Return a column's name as it is compared with those here."""
    return _NO_LETTER.sub("", one_spelling(name).casefold())


def unit_of(name: str) -> Unit:
    """Return what the groups of a column are."""
    return "lesion" if re.search(r"lesion(id|no|nr|number)?$", key(name)) else "patient"


def is_part(name: str) -> bool:
    """Tell whether a name is that of a publisher's part, such as ``train``."""
    return side_of_part(name) is not None
