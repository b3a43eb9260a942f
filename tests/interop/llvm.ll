; A program whose data is too large for the gaps between the libraries.
@table = internal global [16777216 x i32] zeroinitializer

define i32 @main() {
entry:
  br label %loop

loop:
  %index = phi i64 [ 0, %entry ], [ %next, %loop ]
  %slot = getelementptr [16777216 x i32], ptr @table, i64 0, i64 %index
  store volatile i32 1, ptr %slot
  %next = add i64 %index, 1048576
  %has_more = icmp ult i64 %next, 16777216
  br i1 %has_more, label %loop, label %end

end:
  ret i32 0
}
