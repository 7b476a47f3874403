import base64

import pytest


def test_what_was_signed_is_believed_and_nothing_else_is(signer):
    data = b"a transition" * 1000  # more than KMS takes as a message
    signature = signer.sign(data)
    assert signer.verify(data, signature)
    assert not signer.verify(data + b" changed", signature)


@pytest.mark.parametrize("signature", ["", "no base64!", base64.b64encode(b"of another key").decode()])
def test_what_is_no_signature_is_not_believed(signer, signature):
    signer.sign(b"data")
    assert not signer.verify(b"data", signature)
