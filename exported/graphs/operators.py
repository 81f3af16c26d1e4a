"""The operators that a graph may have: pure functions of tensors, without noise, text or files."""

from __future__ import annotations

# Everything else is refused: an operator that is not here was never looked at. By domain; the
# empty one is ONNX's own, also called ai.onnx.
_ELEMENTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater
    GreaterOrEqual
    HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod
    Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
"""
_OF_AXES = """
    ArgMax ArgMin CumSum Hardmax LayerNormalization LogSoftmax RMSNormalization ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Softmax TopK
"""
_OF_SHAPES = """
    Compress Concat Constant ConstantOfShape DepthToSpace Expand EyeLike Flatten Gather
    GatherElements GatherND OneHot Pad Range Reshape ReverseSequence Scatter ScatterElements
    ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze
"""
_OF_MATRICES = """
    AveragePool BatchNormalization Conv ConvTranspose Det Einsum Gemm GlobalAveragePool
    GlobalMaxPool GroupNormalization InstanceNormalization MatMul MaxPool
"""
_OF_GRAPHS = "If Loop"

OPERATORS: dict[str, frozenset[str]] = {
    "": frozenset(
        f"{_ELEMENTWISE} {_OF_AXES} {_OF_SHAPES} {_OF_MATRICES} {_OF_GRAPHS}".split(),
    ),
}
ALIASES = {"ai.onnx": ""}
