"""Known names of table columns for images, labels, groups and parts of a split.

Names are compared in lowercase, without characters that are neither letters nor digits:
``Patient ID`` becomes ``patientid``.
"""

import re

from data.config import Unit
from data.names import one_spelling
from data.published_parts import side_of_part

_NO_LETTER = re.compile(r"[\W_]+")


def _keys(names: str) -> tuple[str, ...]:
    return tuple(names.split())


#: Columns of image files, the likeliest first.
PATHS = _keys(
    "path filepath imagepath imgpath filename imagefilename imagefile imagename image images "
    "imageid imgname img imgid file fileid isicid isicname dateiname datei bild photo picture "
    "dicom dicomid sopinstanceuid name id"
)
#: Columns of labels, the likeliest first.
LABELS = _keys(
    "label labels class classname classlabel classid target targets diagnosis dx diagnose "
    "diagnostic category finding findings findinglabel findinglabels groundtruth gt "
    "benignmalignant malignancy pathology disease condition diagnosis1 diagnosis2 klasse befund "
    "outcome result grade celltype lesiontype tumortype subtype annotation truth y"
)
#: Columns of patients; ``CASES`` and ``LESIONS`` below are other units of grouping.
PATIENTS = _keys(
    "patient patients patientid patientids patientname patientnumber patientno patientnr "
    "patientnum patientcode patientkey patientuid pid ptid subject subjectid subjectno subjects "
    "subjectcode person personid mrn participant participantid individual individualid donor "
    "donorid proband patientennummer patientenid"
)
CASES = _keys("group groupid case caseid caseno casenumber fall fallnummer study studyid")
LESIONS = _keys("lesion lesionid lesionno lesionnumber")
GROUPS = (*PATIENTS, *CASES, *LESIONS)
#: Columns of the part (``train``, ``test``) that the publisher assigned to an image.
PARTS = _keys("split fold partition subset set part phase dataset usage")
#: Columns with attributes of a patient or a photograph that are not labels.
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
    """Return the name of a column in the form in which names are compared."""
    return _NO_LETTER.sub("", one_spelling(name).casefold())


def unit_of(name: str) -> Unit:
    """Return the unit that the groups of a column represent."""
    return "lesion" if re.search(r"lesion(id|no|nr|number)?$", key(name)) else "patient"


def is_part(name: str) -> bool:
    """Return whether a name is that of a publisher's part, such as ``train``."""
    return side_of_part(name) is not None
